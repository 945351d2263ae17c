#include <immintrin.h>

#include "core/kernels/philox_avx512.h"
#include "layers/kernels/dropout.h"

namespace ebb::kernels {

void keep_scaled_avx512(const float* x, std::int64_t n, std::uint64_t key, std::uint64_t first,
                        std::uint32_t threshold, float scale, float* out) {
  const __m512 scales = _mm512_set1_ps(scale);
  const __m512i least = _mm512_set1_epi32(static_cast<int>(threshold));
  for (std::int64_t i = 0; i < n; i += 64) {
    __m512i w[4];
    philox(key, (first + static_cast<std::uint64_t>(i)) / 4, 0, w);
    // The four words of a block side by side: ab.. holds blocks 0, 4, 8, 12 in its quarters, and so
    // on.
    const __m512i low01 = _mm512_unpacklo_epi32(w[0], w[1]),
                  high01 = _mm512_unpackhi_epi32(w[0], w[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(w[2], w[3]),
                  high23 = _mm512_unpackhi_epi32(w[2], w[3]);
    const __m512i a = _mm512_unpacklo_epi64(low01, low23), b = _mm512_unpackhi_epi64(low01, low23);
    const __m512i c = _mm512_unpacklo_epi64(high01, high23),
                  d = _mm512_unpackhi_epi64(high01, high23);
    const __m512i ab_even = _mm512_shuffle_i32x4(a, b, 0x88),
                  ab_odd = _mm512_shuffle_i32x4(a, b, 0xdd);
    const __m512i cd_even = _mm512_shuffle_i32x4(c, d, 0x88),
                  cd_odd = _mm512_shuffle_i32x4(c, d, 0xdd);
    // even: quarters 0, 2 of one and 0, 2 of the other; a quarter of a vector of draws is one
    // block.
    const __m512i draws[4] = {
        _mm512_shuffle_i32x4(ab_even, cd_even, 0x88), _mm512_shuffle_i32x4(ab_odd, cd_odd, 0x88),
        _mm512_shuffle_i32x4(ab_even, cd_even, 0xdd), _mm512_shuffle_i32x4(ab_odd, cd_odd, 0xdd)};
    for (std::int64_t part = 0; part < 4 && i + 16 * part < n; ++part) {
      const std::int64_t at = i + 16 * part;
      const __mmask16 lanes = n - at >= 16 ? static_cast<__mmask16>(0xffff)
                                           : static_cast<__mmask16>((1u << (n - at)) - 1u);
      const __mmask16 kept = _mm512_mask_cmpge_epu32_mask(lanes, draws[part], least);
      _mm512_mask_storeu_ps(
          out + at, lanes, _mm512_maskz_mul_ps(kept, _mm512_maskz_loadu_ps(lanes, x + at), scales));
    }
  }
}

}  // namespace ebb::kernels
