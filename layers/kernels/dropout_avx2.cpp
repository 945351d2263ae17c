#include <immintrin.h>

#include "core/kernels/philox_avx2.h"
#include "layers/kernels/dropout.h"

namespace ebb::kernels {

void keep_scaled_avx2(const float* x, std::int64_t n, std::uint64_t key, std::uint64_t first,
                      std::uint32_t threshold, float scale, float* out) {
  const __m256 scales = _mm256_set1_ps(scale);
  const __m256i least = _mm256_set1_epi32(static_cast<int>(threshold));
  for (std::int64_t i = 0; i < n; i += 32) {
    __m256i w[4];
    philox(key, (first + static_cast<std::uint64_t>(i)) / 4, 0, w);
    // The four words of a block side by side: a holds blocks 0 and 4 in its halves, b 1 and 5, c 2
    // and 6, d 3 and 7.
    const __m256i low01 = _mm256_unpacklo_epi32(w[0], w[1]),
                  high01 = _mm256_unpackhi_epi32(w[0], w[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(w[2], w[3]),
                  high23 = _mm256_unpackhi_epi32(w[2], w[3]);
    const __m256i a = _mm256_unpacklo_epi64(low01, low23), b = _mm256_unpackhi_epi64(low01, low23);
    const __m256i c = _mm256_unpacklo_epi64(high01, high23),
                  d = _mm256_unpackhi_epi64(high01, high23);
    const __m256i draws[4] = {
        _mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(c, d, 0x20),
        _mm256_permute2x128_si256(a, b, 0x31), _mm256_permute2x128_si256(c, d, 0x31)};
    for (std::int64_t part = 0; part < 4 && i + 8 * part < n; ++part) {
      const std::int64_t at = i + 8 * part;
      const __m256i kept = _mm256_cmpeq_epi32(_mm256_max_epu32(draws[part], least), draws[part]);
      float values[8] = {};
      const bool whole = n - at >= 8;
      for (std::int64_t j = 0; !whole && at + j < n; ++j) values[j] = x[at + j];
      const __m256 y =
          _mm256_and_ps(_mm256_mul_ps(_mm256_loadu_ps(whole ? x + at : values), scales),
                        _mm256_castsi256_ps(kept));
      if (whole) {
        _mm256_storeu_ps(out + at, y);
      } else {
        _mm256_storeu_ps(values, y);
        for (std::int64_t j = 0; at + j < n; ++j) out[at + j] = values[j];
      }
    }
  }
}

}  // namespace ebb::kernels
