#include "quant/kernels/dense/float_tile.h"

#include "core/kernels/lanes.h"

namespace ebb::kernels {
namespace {

constexpr int kVectors = kPanel / kLanes;  ///< of a panel
constexpr bool kFetches = kLanes == kPanel;
/// So many k before they are needed elements of a are fetched.
constexpr std::int64_t kAhead = 48;
/// Rows that lie a multiple of so many floats apart share one set of the first cache level, which
/// has room for eight lines.
constexpr std::int64_t kOneSet = 1024;

/// kRows x kPanels x kVectors accumulators: with 24 of AVX-512, or 12 of AVX2, the multiply ports
/// never wait for a result.
template <int kRows, int kPanels>
void tile(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
          std::int64_t b_panel, std::int64_t k, float* c, std::int64_t ldc) {
  constexpr int kAcross = kPanels * kVectors;
  Full::Float sum[std::size_t{kRows}][std::size_t{kAcross}];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kAcross; ++v) sum[i][v] = load<Full>(c + i * ldc + kLanes * v);
  }
  for (std::int64_t s = 0; s < k; ++s) {
    Full::Float right[std::size_t{kAcross}];
#pragma GCC unroll 4
    for (int v = 0; v < kAcross; ++v)
      right[v] = load<Full>(b + v / kVectors * b_panel + kPanel * s + v % kVectors * kLanes);
    const float* const left = a + s * a_k;
    if (kFetches && a_k != 1) {  // one or two lines of every k, which may be far apart
      __builtin_prefetch(left + kAhead * a_k);
      __builtin_prefetch(left + kAhead * a_k + (kRows - 1) * a_row);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const auto all = broadcast<Full::Float>(left[i * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < kAcross; ++v) add_product(all, right[v], sum[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kAcross; ++v) store(c + i * ldc + kLanes * v, sum[i][v]);
  }
}

/// Cuts `rows` into the tiles that exist for kPanels panels: the largest, then halves for what is
/// left.
template <int kPanels, int kLargest>
void rows_of(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
             std::int64_t b_panel, std::int64_t k, int rows, float* c, std::int64_t ldc) {
  int i = 0;
  for (; i + kLargest <= rows; i += kLargest)
    tile<kLargest, kPanels>(a + i * a_row, a_row, a_k, b, b_panel, k, c + i * ldc, ldc);
  if constexpr (kLargest > 1) {
    if (i < rows)
      rows_of<kPanels, kLargest / 2>(a + i * a_row, a_row, a_k, b, b_panel, k, rows - i,
                                     c + i * ldc, ldc);
  }
}

void multiply(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
              std::int64_t b_panel, std::int64_t k, int rows, int panels, float* c,
              std::int64_t ldc) {
  if constexpr (kLanes < kPanel) {  // too few registers for more than one panel
    for (int p = 0; p < panels; ++p)
      rows_of<1, kLanes == 8 ? 6 : 2>(a, a_row, a_k, b + p * b_panel, b_panel, k, rows,
                                      c + kPanel * p, ldc);
  } else {
    switch (panels) {
      case 1:
        if (a_row % kOneSet == 0) return rows_of<1, 8>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
        return rows_of<1, 16>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
      case 2:
        if (a_row % kOneSet == 0) return rows_of<2, 6>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
        return rows_of<2, 12>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
      case 3: return rows_of<3, 8>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
      default: return rows_of<4, 6>(a, a_row, a_k, b, b_panel, k, rows, c, ldc);
    }
  }
}

constexpr FloatKernels kFloat = kLanes < kPanel
                                    ? FloatKernels{{0, 12, 12, 12, 12}, kFetches, multiply}
                                    : FloatKernels{{0, 16, 12, 8, 6}, kFetches, multiply};

}  // namespace

constinit const FloatKernels FloatKernels::EBB_TARGET = kFloat;

}  // namespace ebb::kernels
