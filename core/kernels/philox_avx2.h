#pragma once

#include <cstdint>

/// philox4x32 of core/key.h for many counters at once. For files compiled for this instruction set, which include
/// <immintrin.h> before; internal linkage, so that the linker cannot hand it to others.
namespace ebb::kernels {
namespace {

/// High and low words of eight 32 x 32 bit products.
struct Wide {
  __m256i high, low;
};
inline Wide multiply(__m256i x, std::uint32_t m) {
  const __m256i factor = _mm256_set1_epi64x(static_cast<long long>(m));
  const __m256i even = _mm256_mul_epu32(x, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), factor);
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa), _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa)};
}

/// Eight consecutive Philox4x32-10 blocks, one a lane.
inline void philox(std::uint64_t key, std::uint64_t block, std::uint32_t purpose, __m256i words[4]) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i c0 = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(block))), lane);
  __m256i c1 = _mm256_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(block >> 32)));
  __m256i c2 = _mm256_setzero_si256();
  __m256i c3 = _mm256_set1_epi32(static_cast<int>(purpose));
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const Wide p0 = multiply(c0, 0xD2511F53u), p1 = multiply(c2, 0xCD9E8D57u);
    c0 = _mm256_xor_si256(_mm256_xor_si256(p1.high, c1), _mm256_set1_epi32(static_cast<int>(k0)));
    c1 = p1.low;
    c2 = _mm256_xor_si256(_mm256_xor_si256(p0.high, c3), _mm256_set1_epi32(static_cast<int>(k1)));
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
