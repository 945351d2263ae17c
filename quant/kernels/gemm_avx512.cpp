#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/micro.h"

namespace ebb::kernels {
namespace {

/// So many k before they are needed elements of a are fetched.
constexpr std::int64_t kAhead = 48;
/// Rows that lie a multiple of so many floats apart share one set of the first cache level, which
/// has room for eight lines.
constexpr std::int64_t kOneSet = 1024;

/// kRows x kPanels accumulators of 16 floats: with 24 of them the multiply ports never wait for a
/// result.
template <int kRows, int kPanels>
void float_tile(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
                std::int64_t b_panel, std::int64_t k, float* c, std::int64_t ldc) {
  __m512 sum[std::size_t{kRows}][std::size_t{kPanels}];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) sum[i][p] = _mm512_loadu_ps(c + i * ldc + 16 * p);
  }
  for (std::int64_t s = 0; s < k; ++s) {
    __m512 right[std::size_t{kPanels}];
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) right[p] = _mm512_loadu_ps(b + p * b_panel + 16 * s);
    const float* const left = a + s * a_k;
    if (a_k != 1) {  // one or two lines of every k, which may be far apart
      __builtin_prefetch(left + kAhead * a_k);
      __builtin_prefetch(left + kAhead * a_k + (kRows - 1) * a_row);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const __m512 all = _mm512_set1_ps(left[i * a_row]);
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) sum[i][p] = _mm512_fmadd_ps(all, right[p], sum[i][p]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) _mm512_storeu_ps(c + i * ldc + 16 * p, sum[i][p]);
  }
}

/// Cuts `rows` into the tiles that exist for kPanels panels: the largest, then halves for what is
/// left.
template <int kPanels, int kLargest>
void float_rows(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
                std::int64_t b_panel, std::int64_t k, int rows, float* c, std::int64_t ldc) {
  int i = 0;
  for (; i + kLargest <= rows; i += kLargest)
    float_tile<kLargest, kPanels>(a + i * a_row, a_row, a_k, b, b_panel, k, c + i * ldc, ldc);
  if constexpr (kLargest > 1) {
    if (i < rows)
      float_rows<kPanels, kLargest / 2>(a + i * a_row, a_row, a_k, b, b_panel, k, rows - i,
                                        c + i * ldc, ldc);
  }
}

void float_multiply(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
                    std::int64_t b_panel, std::int64_t k, int rows, int panels, float* c,
                    std::int64_t ldc) {
  switch (panels) {
    case 1:
      if (a_row % kOneSet == 0) return float_rows<1, 8>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
      return float_rows<1, 16>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
    case 2:
      if (a_row % kOneSet == 0) return float_rows<2, 6>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
      return float_rows<2, 12>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
    case 3: return float_rows<3, 8>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
    default: return float_rows<4, 6>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
  }
}

constexpr FloatMicro kFloat{.rows = {0, 16, 12, 8, 6},
                            .multiply = float_multiply,
                            .fetches = true,
                            .conv_line = float_line_avx512,
                            .add_positions = add_positions_avx512};

}  // namespace

const FloatMicro& float_avx512() { return kFloat; }

}  // namespace ebb::kernels
