#pragma once

#include <cstdint>

/// philox4x32 of core/key.h for many counters at once. For files compiled for this instruction set,
/// which include <immintrin.h> before; internal linkage, so that the linker cannot hand it to
/// others.
namespace ebb::kernels {
namespace {

/// Four blocks of Philox4x32, the words of each in the low halves of a lane; the high halves are
/// anything.
struct PhiloxBlocks {
  __m256i c0, c1, c2, c3;

  void round(__m256i k0, __m256i k1) {
    const __m256i p0 = _mm256_mul_epu32(c0, _mm256_set1_epi64x(0xD2511F53)),
                  p1 = _mm256_mul_epu32(c2, _mm256_set1_epi64x(0xCD9E8D57));
    c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), k0);
    c1 = p1;
    c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3), k1);
    c3 = p0;
  }
};

/// Eight consecutive Philox4x32-10 blocks, one a lane; block numbers do not carry into their high
/// word within a group of eight.
inline void philox(std::uint64_t key, std::uint64_t block, std::uint32_t purpose,
                   __m256i words[4]) {
  const __m256i first = _mm256_set1_epi64x(static_cast<long long>(block & 0xffffffffu)),
                high = _mm256_set1_epi64x(static_cast<long long>(block >> 32)),
                last = _mm256_set1_epi64x(purpose);
  PhiloxBlocks even{_mm256_add_epi32(first, _mm256_setr_epi64x(0, 2, 4, 6)), high,
                    _mm256_setzero_si256(), last};
  PhiloxBlocks odd{_mm256_add_epi32(first, _mm256_setr_epi64x(1, 3, 5, 7)), high,
                   _mm256_setzero_si256(), last};
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const __m256i all0 = _mm256_set1_epi32(static_cast<int>(k0)),
                  all1 = _mm256_set1_epi32(static_cast<int>(k1));
    even.round(all0, all1);
    odd.round(all0, all1);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const auto merged = [](__m256i low, __m256i high_word) {
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high_word, 32), 0xaa);
  };
  words[0] = merged(even.c0, odd.c0);
  words[1] = merged(even.c1, odd.c1);
  words[2] = merged(even.c2, odd.c2);
  words[3] = merged(even.c3, odd.c3);
}

}  // namespace
}  // namespace ebb::kernels
