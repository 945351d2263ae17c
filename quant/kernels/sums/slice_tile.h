#pragma once

#include <cstdint>

/// The innermost loop of exact products in float64. Only plain pointers and numbers cross this
/// line, see core/kernels/lanes.h.
namespace ebb::kernels {

inline constexpr std::int64_t kSlicePanel = 16;  ///< columns of a packed panel of b

struct SliceKernels {
  int rows;  ///< of a strip of a
  /// Adds the products of a strip of a, row i of element k at a[k * rows + i], and a panel of b, at
  /// b[k * 16 + j], to c[i * 16 + j]. Every sum on the way is a whole number below 2^53 of some
  /// unit, so that any order gives the same.
  void (*multiply)(const double* a, const double* b, std::int64_t k, double* c);

  static const SliceKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
