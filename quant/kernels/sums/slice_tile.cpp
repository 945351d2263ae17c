#include "quant/kernels/sums/slice_tile.h"

#include "core/kernels/lanes.h"

namespace ebb::kernels {
namespace {

using Double = Half::Double;
constexpr int kDoubles = kLanes / 2, kAcross = kSlicePanel / kDoubles;
/// As many sums as leave registers for what is multiplied.
constexpr int kRows = kLanes == 16 ? 12 : kLanes == 8 ? 3 : 1;

void multiply(const double* a, const double* b, std::int64_t k, double* c) {
  Double sum[std::size_t{kRows}][std::size_t{kAcross}];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kAcross; ++v) fetch(sum[i][v], c + i * kSlicePanel + v * kDoubles);
  }
  for (std::int64_t s = 0; s < k; ++s, a += kRows, b += kSlicePanel) {
    Double y[std::size_t{kAcross}];
#pragma GCC unroll 8
    for (int v = 0; v < kAcross; ++v) fetch(y[v], b + v * kDoubles);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const auto x = broadcast<Double>(a[i]);
#pragma GCC unroll 8
      for (int v = 0; v < kAcross; ++v) {
        if constexpr (kLanes > 4) {
          add_product(x, y[v], sum[i][v]);
        } else {
          sum[i][v] += x * y[v];  // the product is exact
        }
      }
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kAcross; ++v) store(c + i * kSlicePanel + v * kDoubles, sum[i][v]);
  }
}

constexpr SliceKernels kSlices{kRows, multiply};

}  // namespace

constinit const SliceKernels SliceKernels::EBB_TARGET = kSlices;

}  // namespace ebb::kernels
