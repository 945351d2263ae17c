#pragma once

#include <cstdint>

/// philox4x32 of core/key.h for many counters at once. For files compiled for this instruction set, which include
/// <immintrin.h> before; internal linkage, so that the linker cannot hand it to others.
namespace ebb::kernels {
namespace {

/// High and low words of sixteen 32 x 32 bit products.
struct Wide {
  __m512i high, low;
};
inline Wide multiply(__m512i x, std::uint32_t m) {
  const __m512i factor = _mm512_set1_epi64(static_cast<long long>(m));
  const __m512i even = _mm512_mul_epu32(x, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), factor);
  return {_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd),
          _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32))};
}

/// Sixteen consecutive Philox4x32-10 blocks, one a lane; block numbers do not carry into their high word within a group of sixteen.
inline void philox(std::uint64_t key, std::uint64_t block, std::uint32_t purpose, __m512i words[4]) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i c0 = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(block))), lane);
  __m512i c1 = _mm512_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(block >> 32)));
  __m512i c2 = _mm512_setzero_si512();
  __m512i c3 = _mm512_set1_epi32(static_cast<int>(purpose));
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const Wide p0 = multiply(c0, 0xD2511F53u), p1 = multiply(c2, 0xCD9E8D57u);
    c0 = _mm512_ternarylogic_epi32(p1.high, c1, _mm512_set1_epi32(static_cast<int>(k0)), 0x96);
    c1 = p1.low;
    c2 = _mm512_ternarylogic_epi32(p0.high, c3, _mm512_set1_epi32(static_cast<int>(k1)), 0x96);
    c3 = p0.low;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

}  // namespace
}  // namespace ebb::kernels
