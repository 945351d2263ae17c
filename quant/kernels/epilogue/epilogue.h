#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/kernels/epilogue/affine.h"
#include "quant/kernels/epilogue/compensation.h"
#include "quant/kernels/problem.h"

namespace ebb::kernels {

/// The end of a product: turns exact sums into what its accumulator holds and then into float32, as
/// affine.h says it.
class Epilogue {
 public:
  /// All that it needs from the operands, row sums where they count.
  explicit Epilogue(const Problem& problem);
  /// For callers that sum rows themselves. Coefficients have `width` columns, those beyond n being
  /// zeros; 0 means n.
  Epilogue(const Problem& problem, RowClasses classes, std::int64_t width = 0);

  /// True when scale_ab and zero_b are the same for all rows.
  [[nodiscard]] bool one_row_grid() const { return one_row_grid_; }
  [[nodiscard]] std::int64_t row_sum(std::int64_t i) const {
    return row_sums_.empty() ? 0 : row_sums_[static_cast<std::size_t>(i)];
  }

  /// Coefficients of one row; `constant` is that of its class.
  struct Row {
    const double *scale_ab, *zero_b, *constant;
  };
  /// The coefficients of the rows of a class, where they have one grid.
  [[nodiscard]] Row of_class(std::int64_t c) const {
    return {table_.data(), table_.data() + width_, table_.data() + (2 + c) * width_};
  }
  /// The coefficients of row i; valid until the next call with the same scratch.
  [[nodiscard]] Row row(std::int64_t i, std::vector<double>& scratch) const;
  /// scale_ab and zero_b of rows, `stride` apart.
  struct Rows {
    const double *scale_ab, *zero_b;
    std::int64_t stride;
  };
  /// Computes one row's coefficients.
  using Fill = void (*)(const RowCoefficients& row);
  /// Those of rows first .. first + constants.size(), whose constants go to `constants`; columns
  /// col
  /// .. col + cols are valid until the next call with the same scratch. `fill` is for this
  /// processor.
  [[nodiscard]] Rows rows(std::int64_t first, std::int64_t col, std::int64_t cols,
                          std::span<const double*> constants, std::vector<double>& scratch,
                          Fill fill) const;

  /// Writes outputs first .. first + sums.size() of row i, and adds the problem's bias; returns the
  /// accumulator's events.
  std::uint64_t finish(std::int64_t i, std::int64_t first, std::span<std::int64_t> sums,
                       std::int64_t row_sum, std::vector<double>& scratch) const;
  std::uint64_t finish(std::int64_t i, std::int64_t first, std::span<std::int64_t> sums,
                       std::vector<double>& scratch) const {
    return finish(i, first, sums, row_sum(i), scratch);
  }

 private:
  [[nodiscard]] std::int64_t class_of(std::int64_t i) const {
    return of_row_.empty() ? 0 : of_row_[static_cast<std::size_t>(i)];
  }
  /// What columns col .. col + cols of row i's coefficients are made of, were it of class c, and
  /// where they go.
  [[nodiscard]] RowCoefficients parts_of(std::int64_t i, std::int64_t c, std::int64_t col,
                                         std::int64_t cols, double* scale_ab, double* zero_b,
                                         double* constant) const;

  const Problem* problem_;
  std::int64_t n_, width_;
  bool one_row_grid_;
  std::vector<std::int64_t> row_sums_;
  std::vector<std::int32_t> of_row_;
  std::vector<std::int64_t> valid_;
  std::vector<double> scales_b_, zeros_b_;  ///< [n]
  std::vector<double> column_sums_;         ///< [classes, n]: far below 2^53
  std::vector<double> table_;  ///< scale_ab, zero_b and each class's constant, if a has one grid
};

}  // namespace ebb::kernels
