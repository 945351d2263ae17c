#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/range.h"
#include "core/simd.h"
#include "core/tensor.h"

namespace ebb {

/// Sums with one stated order, so that no tiling, fusion, vector width or number of threads can
/// move a bit.
///
/// Elements are converted to double (exact) and added in double. Rows are cut into blocks of
/// kSumBlock consecutive rows; inside a block they are added in ascending order; the blocks' sums
/// are then combined by `tree_sum`.
inline constexpr std::int64_t kSumBlock = 64;

/// Adds neighbours pairwise, level by level: ((p0+p1)+(p2+p3))+...; an odd one is carried up
/// unchanged. Empty sums are 0.
double tree_sum(std::span<double> parts);

/// Sums as a tensor, each rounded once to float32: what gradients of biases and norms are.
Tensor rounded(std::span<const double> sums);

/// Column sums of a [rows, cols] matrix, [cols].
std::vector<double> column_sums(const ConstMatrix& x, Simd simd = Simd::scalar);
/// Mean and (biased) variance of each column, the variance without the cancellation of mean square
/// less squared mean: each block's squares are those of the differences from its first row, which
/// double holds, one fma per row. With sums S and squares Q of a block's n rows, its first row c
/// and the mean of all rows, the block's share of the squared deviations is (Q - n (S/n - c)^2) + n
/// (S/n - mean)^2. @throws ShapeError unless rows are contiguous
struct ColumnMoments {
  std::vector<double> mean, variance;
};
ColumnMoments column_moments(const ConstMatrix& x, Simd simd = Simd::scalar);
/// Column sums of the elementwise product (exact in double) together with those of a alone: what
/// batch norm's gradient needs.
struct ColumnDots {
  std::vector<double> sum, dot;
};
ColumnDots column_sums_and_dots(const ConstMatrix& a, const ConstMatrix& b,
                                Simd simd = Simd::scalar);

/// Column sums of a [rows, cols] matrix whose blocks of rows come in any order and from any thread,
/// for producers that still have them in cache.
class ColumnBlocks {
 public:
  ColumnBlocks(std::int64_t rows, std::int64_t cols, Simd simd);

  /// Adds rows first .. last, which lie one after the other: sums, squares about the block's first
  /// row, smallest and largest elements. `first` is a multiple of kSumBlock, and so is `last`
  /// unless it is the end.
  void summarise(const float* rows, std::int64_t first, std::int64_t last);
  /// Adds these rows of a and of the elementwise product a b instead.
  void add_dots(const float* a, const float* b, std::int64_t first, std::int64_t last);

  /// All of the matrix was added: its columns' sums; after add_dots() with the dots beside them,
  /// after summarise() the moments.
  [[nodiscard]] std::vector<double> sum() const;
  [[nodiscard]] ColumnDots dots() const;
  [[nodiscard]] ColumnMoments moments() const;
  /// Range of each column after summarise(); not finite if the column is not.
  [[nodiscard]] std::vector<Range> ranges() const;
  /// Range of all of them.
  [[nodiscard]] Range range() const;

 private:
  /// The tree over blocks of the sums in columns 0 .. end of partial_.
  [[nodiscard]] std::vector<double> combined_to(std::int64_t end) const;

  std::int64_t rows_, cols_;
  Simd simd_;
  Aligned<double> partial_;  ///< [blocks, sums and squares or dots]
  Aligned<float> ends_;      ///< [blocks, minima and maxima]
  Aligned<float> first_;     ///< [blocks, first rows], after summarise()
};

/// Sum of term(0) .. term(n-1), values in double, for short rows: 16 chains, chain c adding the
/// terms c, c + 16, ... in ascending order, then their tree.
template <class Term>
double chained_sum(std::int64_t n, const Term& term) {
  constexpr std::int64_t chains = 16;
  std::array<double, chains> sums{};
  std::int64_t j = 0;
  for (; j + chains <= n; j += chains) {
    for (std::int64_t c = 0; c < chains; ++c) sums[static_cast<std::size_t>(c)] += term(j + c);
  }
  for (std::int64_t c = 0; j + c < n; ++c) sums[static_cast<std::size_t>(c)] += term(j + c);
  for (std::size_t pairs = chains / 2; pairs > 0;
       pairs /= 2) {  // tree_sum, unrolled by the compiler
    for (std::size_t pair = 0; pair < pairs; ++pair)
      sums[pair] = sums[2 * pair] + sums[2 * pair + 1];
  }
  return sums[0];
}

/// Sum of squares of a flat array, laid out for this purpose as rows of 64 elements: the column
/// sums of squares, then their tree.
double sum_of_squares(std::span<const float> x);
/// Sum of a flat array in the same order.
double sum_of(std::span<const float> x);

}  // namespace ebb
