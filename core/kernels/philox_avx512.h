#pragma once

#include <cstdint>

/// philox4x32 of core/key.h for many counters at once. For files compiled for this instruction set,
/// which include <immintrin.h> before; internal linkage, so that the linker cannot hand it to
/// others.
namespace ebb::kernels {
namespace {

/// Eight blocks of Philox4x32, the words of each in the low halves of a lane; the high halves are
/// anything.
struct PhiloxBlocks {
  __m512i c0, c1, c2, c3;

  void round(__m512i k0, __m512i k1) {
    const __m512i p0 = _mm512_mul_epu32(c0, _mm512_set1_epi64(0xD2511F53)),
                  p1 = _mm512_mul_epu32(c2, _mm512_set1_epi64(0xCD9E8D57));
    c0 = _mm512_ternarylogic_epi32(_mm512_srli_epi64(p1, 32), c1, k0, 0x96);
    c1 = p1;
    c2 = _mm512_ternarylogic_epi32(_mm512_srli_epi64(p0, 32), c3, k1, 0x96);
    c3 = p0;
  }
};

/// Sixteen consecutive Philox4x32-10 blocks, one a lane; block numbers do not carry into their high
/// word within a group of sixteen.
inline void philox(std::uint64_t key, std::uint64_t block, std::uint32_t purpose,
                   __m512i words[4]) {
  const __m512i first = _mm512_set1_epi64(static_cast<long long>(block & 0xffffffffu)),
                high = _mm512_set1_epi64(static_cast<long long>(block >> 32)),
                last = _mm512_set1_epi64(purpose);
  PhiloxBlocks even{_mm512_add_epi32(first, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14)), high,
                    _mm512_setzero_si512(), last};
  PhiloxBlocks odd{_mm512_add_epi32(first, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15)), high,
                   _mm512_setzero_si512(), last};
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const __m512i all0 = _mm512_set1_epi32(static_cast<int>(k0)),
                  all1 = _mm512_set1_epi32(static_cast<int>(k1));
    even.round(all0, all1);
    odd.round(all0, all1);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const auto merged = [](__m512i low, __m512i high_word) {
    return _mm512_mask_blend_epi32(0xaaaa, low, _mm512_slli_epi64(high_word, 32));
  };
  words[0] = merged(even.c0, odd.c0);
  words[1] = merged(even.c1, odd.c1);
  words[2] = merged(even.c2, odd.c2);
  words[3] = merged(even.c3, odd.c3);
}

}  // namespace
}  // namespace ebb::kernels
