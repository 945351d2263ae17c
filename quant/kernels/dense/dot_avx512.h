#pragma once

#include <cstdint>

/// What the AVX-512 kernels of integer codes share. In an unnamed namespace: every file that is
/// compiled for one instruction set gets functions of its own.
namespace ebb::kernels {
namespace {

/// What multiplies one group of 16 columns of b with one group of a, broadcast.
struct Int8Dot {
  static constexpr std::int32_t kBias = 128;
  static constexpr int kCodeBytes = 1;
  static __m512i add(__m512i sum, __m512i b, __m512i a) { return _mm512_dpbusd_epi32(sum, b, a); }
  static __m512i ones() { return _mm512_set1_epi8(1); }
};
struct Int16Dot {
  static constexpr std::int32_t kBias = 0;
  static constexpr int kCodeBytes = 2;
  static __m512i add(__m512i sum, __m512i b, __m512i a) { return _mm512_dpwssd_epi32(sum, b, a); }
  static __m512i ones() { return _mm512_set1_epi16(1); }
};

/// float((scale_ab s + zero_b a) + constant) of eight columns.
inline __m256 scaled(__m512d s, __m512d a, __m512d scale_ab, __m512d zero_b, __m512d constant) {
  const __m512d products = _mm512_add_pd(_mm512_mul_pd(scale_ab, s), _mm512_mul_pd(zero_b, a));
  return _mm512_cvtpd_ps(_mm512_add_pd(products, constant));
}

/// The low bits of each sum as two's complement; adds how often each of `mask` went round to
/// `events`.
inline __m512i wrapped(__m512i sum, int bits, __mmask16 mask, __m512i& events) {
  const __m128i up = _mm_cvtsi32_si128(32 - bits);
  const __m512i kept = _mm512_sra_epi32(_mm512_sll_epi32(sum, up), up);
  const __m512i turns =
      _mm512_abs_epi32(_mm512_sra_epi32(_mm512_sub_epi32(sum, kept), _mm_cvtsi32_si128(bits)));
  const __m512i counted = _mm512_maskz_mov_epi32(mask, turns);
  events = _mm512_add_epi64(events, _mm512_and_si512(counted, _mm512_set1_epi64(0xffffffff)));
  events = _mm512_add_epi64(events, _mm512_srli_epi64(counted, 32));
  return kept;
}
/// The same of eight sums of 64 bits.
inline __m512i wrapped_wide(__m512i sum, int bits, __mmask8 mask, __m512i& events) {
  const __m128i up = _mm_cvtsi32_si128(64 - bits);
  const __m512i kept = _mm512_sra_epi64(_mm512_sll_epi64(sum, up), up);
  const __m512i turns =
      _mm512_abs_epi64(_mm512_sra_epi64(_mm512_sub_epi64(sum, kept), _mm_cvtsi32_si128(bits)));
  events = _mm512_mask_add_epi64(events, mask, events, turns);
  return kept;
}

/// Adds n sums, a multiple of 8, times 2^shift to wider ones.
inline void add_shifted(const std::int32_t* from, int n, int shift, std::int64_t* to) {
  const __m128i up = _mm_cvtsi32_si128(shift);
  for (int j = 0; j < n; j += 8) {
    const __m512i part =
        _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + j)));
    _mm512_storeu_si512(to + j,
                        _mm512_add_epi64(_mm512_loadu_si512(to + j), _mm512_sll_epi64(part, up)));
  }
}

}  // namespace
}  // namespace ebb::kernels
