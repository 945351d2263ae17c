#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/micro.h"

namespace ebb::kernels {
namespace {

/// Codes are widened to 16 bits and multiplied with pmaddwd, which is exact; pmaddubs would saturate on large codes. An accumulator
/// holds four columns, each as two int32 halves (k 0,1 and k 2,3 of the groups) that are added at the end.
template <int kRows>
void int8_tile(const Int8Left& a, const Int8Right& b, std::int32_t* c, std::int64_t ldc) {
  __m256i sum[std::size_t{kRows}][4];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) sum[i][q] = _mm256_setzero_si256();
  }
  const std::uint8_t* from = b.data;
  for (std::int64_t s = 0; s < b.segments; ++s) {
    const std::int8_t* row = a.data + s * a.segment;
    for (std::int64_t g = 0; g < b.groups; ++g, from += b.group, row += a.group) {
      __m256i left[std::size_t{kRows}];
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        std::int32_t four;
        __builtin_memcpy(&four, row + i * a.row, 4);
        left[i] = _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
      }
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        const __m256i right = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16 * q)));
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i) sum[i][q] = _mm256_add_epi32(sum[i][q], _mm256_madd_epi16(left[i], right));
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int q = 0; q < 4; q += 2) {
      const __m256i columns = _mm256_hadd_epi32(sum[i][q], sum[i][q + 1]);  // 0 1 4 5 | 2 3 6 7
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + i * ldc + 4 * q), _mm256_permute4x64_epi64(columns, 0xd8));
    }
  }
}

void int8_multiply(const Int8Left& a, const Int8Right& b, int rows, int panels, std::int32_t* c, std::int64_t ldc) {
  Int8Right panel = b;
  for (int p = 0; p < panels; ++p, panel.data += b.panel) {
    Int8Left left = a;
    int i = 0;
    for (; i + 3 <= rows; i += 3, left.data += 3 * a.row) int8_tile<3>(left, panel, c + 16 * p + i * ldc, ldc);
    for (; i < rows; ++i, left.data += a.row) int8_tile<1>(left, panel, c + 16 * p + i * ldc, ldc);
  }
}

template <int kRows>
void float_tile(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b, std::int64_t k, float* c, std::int64_t ldc) {
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

void float_multiply(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b, std::int64_t b_panel, std::int64_t k,
                    int rows, int panels, float* c, std::int64_t ldc) {
  for (int p = 0; p < panels; ++p) {
    int i = 0;
    for (; i + 6 <= rows; i += 6) float_tile<6>(a + i * a_row, a_row, a_k, b + p * b_panel, k, c + 16 * p + i * ldc, ldc);
    for (; i + 2 <= rows; i += 2) float_tile<2>(a + i * a_row, a_row, a_k, b + p * b_panel, k, c + 16 * p + i * ldc, ldc);
    for (; i < rows; ++i) float_tile<1>(a + i * a_row, a_row, a_k, b + p * b_panel, k, c + 16 * p + i * ldc, ldc);
  }
}

void scale(const std::int32_t* c, std::int64_t n, std::int32_t bias, const double* alpha, const double* beta, double row_sum,
           const double* gamma, float* out) {
  for (std::int64_t j = 0; j < n; ++j) {
    out[j] = static_cast<float>((alpha[j] * static_cast<double>(c[j] - bias) + beta[j] * row_sum) + gamma[j]);
  }
}

constexpr Int8Micro kInt8{.rows = {0, 12, 12, 12, 12}, .biased_b = false, .multiply = int8_multiply, .scale = scale};
constexpr FloatMicro kFloat{{0, 12, 12, 12, 12}, float_multiply};

}  // namespace

const Int8Micro& int8_avx2() { return kInt8; }
const FloatMicro& float_avx2() { return kFloat; }

}  // namespace ebb::kernels
