#pragma once

#include <cstdint>

/// The inner loops of core/sums.h, one set per instruction set. Only plain pointers and numbers
/// cross this line: the files behind it are compiled for one instruction set each and must not
/// instantiate inline library code that the linker could pick for other callers.
namespace ebb::kernels {

/// Rows of a float32 matrix whose columns are neighbours.
struct FloatRows {
  const float* data;
  std::int64_t stride;
};

/// The loops of one instruction set, all over ascending rows i and all columns j, sums in double.
struct SumKernels {
  /// sum[j] += a(i, j) and, if dot is not null, dot[j] += a(i, j) b(i, j).
  void (*sum)(FloatRows a, FloatRows b, std::int64_t rows, std::int64_t cols, double* sum,
              double* dot);
  /// sum[j] += a(i, j), squares[j] becomes fma(d, d, squares[j]) of d = a(i, j) - a(0, j); min[j]
  /// and max[j] move to elements beyond them, NaNs excepted.
  void (*summarise)(FloatRows a, std::int64_t rows, std::int64_t cols, double* sum, double* squares,
                    float* min, float* max);

  static const SumKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
