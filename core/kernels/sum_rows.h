#pragma once

#include <cstddef>
#include <cstdint>

/// The inner loops of core/sums.h, one set an instruction set. Only plain pointers and numbers cross this line: the files behind it
/// are compiled for one instruction set each and must not instantiate inline library code that the linker could pick for other
/// callers.
namespace ebb::kernels {

/// Rows of a float32 matrix whose columns are neighbours.
struct FloatRows {
  const float* data;
  std::int64_t stride;
};

/// sum[j] += a(i, j) and, if dot is not null, dot[j] += a(i, j) b(i, j), for ascending rows i and all columns j, in double.
using SumRows = void (*)(FloatRows a, FloatRows b, std::int64_t rows, std::int64_t cols, double* sum, double* dot);

void sum_rows_portable(FloatRows a, FloatRows b, std::int64_t rows, std::int64_t cols, double* sum, double* dot);
void sum_rows_avx2(FloatRows a, FloatRows b, std::int64_t rows, std::int64_t cols, double* sum, double* dot);
void sum_rows_avx512(FloatRows a, FloatRows b, std::int64_t rows, std::int64_t cols, double* sum, double* dot);

}  // namespace ebb::kernels
