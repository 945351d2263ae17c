#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/simd.h"
#include "core/tensor.h"

namespace ebb {

/// Sums with one stated order, so that no tiling, fusion, vector width or number of threads can move a bit.
///
/// Elements are converted to double (exact) and added in double. Rows are cut into blocks of kSumBlock consecutive rows; inside a
/// block they are added in ascending order; the blocks' sums are then combined by `tree_sum`.
inline constexpr std::int64_t kSumBlock = 64;

/// Adds neighbours pairwise, level by level: ((p0+p1)+(p2+p3))+...; an odd one is carried up unchanged. Empty sums are 0.
double tree_sum(std::span<double> parts);

/// Column sums of a [rows, cols] matrix, [cols].
std::vector<double> column_sums(const ConstMatrix& x, Simd simd = Simd::scalar);
/// The same with the column sums of the squares, which are exact in double.
struct ColumnSums {
  std::vector<double> sum, squares;
};
ColumnSums column_sums_and_squares(const ConstMatrix& x, Simd simd = Simd::scalar);
/// Column sums of the elementwise product (exact in double) together with those of a alone: what batch norm's gradient needs.
struct ColumnDots {
  std::vector<double> sum, dot;
};
ColumnDots column_sums_and_dots(const ConstMatrix& a, const ConstMatrix& b, Simd simd = Simd::scalar);
/// The same, calling prepare(first, last) on every block of rows just before it is read, so that a pass over a or b can ride along
/// while the block is in cache. Blocks run in parallel; prepare must not throw.
ColumnDots column_sums_and_dots(const ConstMatrix& a, const ConstMatrix& b, Simd simd,
                                const std::function<void(std::int64_t, std::int64_t)>& prepare);

/// Sum of squares of a flat array, laid out for this purpose as rows of 64 elements: the column sums of squares, then their tree.
double sum_of_squares(std::span<const float> x);
/// Sum of a flat array in the same order.
double sum(std::span<const float> x);

}  // namespace ebb
