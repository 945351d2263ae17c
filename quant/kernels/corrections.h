#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/kernels/problem.h"
#include "quant/kernels/tile.h"

namespace ebb::kernels {

/// Everything of a product's scaling but the sum of code products itself, for
/// | c(i, j) = float((alpha_j S + beta_j A_i) + gamma_ij)
/// | alpha = s_a s_b, beta = s_a z_b, gamma = (z_a s_b) B_ij + (z_a z_b) K_i
///
/// where A_i sums the codes of a's row, B_ij the codes of b's column and K_i counts the taps, each
/// over the taps of row i that are not padding. Rows that miss the same taps share a class, and
/// with it B, K and gamma.
class Corrections {
 public:
  /// `always_row_sums`: compute A even where beta is zero.
  Corrections(const Problem& problem, bool always_row_sums);
  /// For callers that sum rows themselves and, where a is dense, know the sums of b's columns (else
  /// empty) over the k that they contract.
  Corrections(const Problem& problem, std::int64_t k, std::vector<std::int64_t> column_sums);

  [[nodiscard]] std::int64_t row_sum(std::int64_t i) const {
    return row_sums_.empty() ? 0 : row_sums_[static_cast<std::size_t>(i)];
  }
  /// True when alpha and beta are the same for all rows.
  [[nodiscard]] bool one_row_grid() const { return one_row_grid_; }
  /// Alpha and beta of rows, `hop` apart.
  struct Rows {
    const double *alpha, *beta;
    std::int64_t hop;
  };
  /// Computes one row's coefficients, for this processor where it is not null.
  using Fill = void (*)(const RowCoefficients& row);
  /// Those of rows first .. first + gamma.size(), whose gamma goes to `gamma`, each n long; columns
  /// col .. col + cols are valid until the next call with the same scratch.
  [[nodiscard]] Rows rows(std::int64_t first, std::int64_t col, std::int64_t cols,
                          std::span<const double*> gamma, std::vector<double>& scratch,
                          Fill fill = nullptr) const;
  /// Coefficients of one row, each n long; valid until the next call with the same scratch.
  struct Row {
    const double *alpha, *beta, *gamma;
  };
  [[nodiscard]] Row row(std::int64_t i, std::vector<double>& scratch) const;

  /// Writes outputs first .. first + sums.size() of row i from exact sums, and adds the problem's
  /// bias.
  void write(const Problem& problem, std::int64_t i, std::int64_t first,
             std::span<const std::int64_t> sums, std::vector<double>& scratch) const {
    write(problem, i, first, sums, row_sum(i), scratch);
  }
  /// The same with A of the caller.
  void write(const Problem& problem, std::int64_t i, std::int64_t first,
             std::span<const std::int64_t> sums, std::int64_t row_sum,
             std::vector<double>& scratch) const;

 private:
  /// What columns col .. col + cols of row i's alpha, beta and gamma, each n long, are made of.
  [[nodiscard]] RowCoefficients of_row(std::int64_t i, std::int64_t col, std::int64_t cols,
                                       double* table) const;

  const Problem* problem_;
  std::int64_t n_;
  bool one_row_grid_;
  std::vector<std::int64_t> row_sums_;
  std::vector<std::int32_t> row_class_;     ///< empty: all rows are of class 0
  std::vector<std::int64_t> class_taps_;    ///< K of each class
  std::vector<double> scales_b_, zeros_b_;  ///< [n]
  std::vector<double> sums_b_;              ///< B, [classes, n]: far below 2^53
  std::vector<double> tables_;  ///< alpha, beta, gamma of each class when a has one grid
};

}  // namespace ebb::kernels
