#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/micro.h"

namespace ebb::kernels {
namespace {

template <int kRows>
void float_tile(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
                std::int64_t k, float* c, std::int64_t ldc) {
  __m256 sum[std::size_t{kRows}][2];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
    sum[i][0] = _mm256_loadu_ps(c + i * ldc);
    sum[i][1] = _mm256_loadu_ps(c + i * ldc + 8);
  }
  for (std::int64_t s = 0; s < k; ++s) {
    const __m256 right0 = _mm256_loadu_ps(b + 16 * s), right1 = _mm256_loadu_ps(b + 16 * s + 8);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const __m256 all = _mm256_set1_ps(a[i * a_row + s * a_k]);
      sum[i][0] = _mm256_fmadd_ps(all, right0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(all, right1, sum[i][1]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
    _mm256_storeu_ps(c + i * ldc, sum[i][0]);
    _mm256_storeu_ps(c + i * ldc + 8, sum[i][1]);
  }
}

void float_multiply(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
                    std::int64_t b_panel, std::int64_t k, int rows, int panels, float* c,
                    std::int64_t ldc) {
  for (int p = 0; p < panels; ++p) {
    int i = 0;
    for (; i + 6 <= rows; i += 6)
      float_tile<6>(a + i * a_row, a_row, a_k, b + p * b_panel, k, c + 16 * p + i * ldc, ldc);
    for (; i + 2 <= rows; i += 2)
      float_tile<2>(a + i * a_row, a_row, a_k, b + p * b_panel, k, c + 16 * p + i * ldc, ldc);
    for (; i < rows; ++i)
      float_tile<1>(a + i * a_row, a_row, a_k, b + p * b_panel, k, c + 16 * p + i * ldc, ldc);
  }
}

constexpr FloatMicro kFloat{{0, 12, 12, 12, 12}, float_multiply};

}  // namespace

const FloatMicro& float_avx2() { return kFloat; }

}  // namespace ebb::kernels
