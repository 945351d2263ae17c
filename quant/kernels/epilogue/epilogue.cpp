#include "quant/kernels/epilogue/epilogue.h"

#include <algorithm>
#include <utility>

namespace ebb::kernels {

Epilogue::Epilogue(const Problem& p) : Epilogue(p, RowClasses::of(p.a.codes(), p.b.codes())) {
  if (std::ranges::any_of(zeros_b_, [](double z) { return z != 0.0; }))
    row_sums_ = sum_rows(p.a.codes());
}

Epilogue::Epilogue(const Problem& p, RowClasses classes, std::int64_t width)
    : problem_(&p),
      n_(p.n()),
      width_(std::max(n_, width)),
      one_row_grid_(p.a.granularity() == Granularity::per_tensor || p.m() == 0),
      of_row_(std::move(classes.of_row)),
      valid_(std::move(classes.valid)),
      scales_b_(static_cast<std::size_t>(n_)),
      zeros_b_(static_cast<std::size_t>(n_)),
      column_sums_(classes.column_sums.begin(), classes.column_sums.end()) {
  for (std::int64_t j = 0; j < n_; ++j) {
    const Grid& grid = p.b.grid(p.b.granularity() == Granularity::per_column ? j : 0);
    scales_b_[static_cast<std::size_t>(j)] = static_cast<double>(grid.scale);
    zeros_b_[static_cast<std::size_t>(j)] = grid.stored_zero();
  }
  if (!one_row_grid_ || p.m() == 0) return;
  const auto all = static_cast<std::int64_t>(valid_.size());
  table_.resize(static_cast<std::size_t>((2 + all) * width_));
  for (std::int64_t c = 0; c < all; ++c)
    coefficients(parts_of(0, c, 0, n_, table_.data(), table_.data() + width_,
                          table_.data() + (2 + c) * width_));
}

RowCoefficients Epilogue::parts_of(std::int64_t i, std::int64_t c, std::int64_t col,
                                   std::int64_t cols, double* scale_ab, double* zero_b,
                                   double* constant) const {
  const Grid& grid = problem_->a.grid(problem_->a.granularity() == Granularity::per_row ? i : 0);
  return {.scale = static_cast<double>(grid.scale),
          .zero = grid.stored_zero(),
          .valid = static_cast<double>(valid_[static_cast<std::size_t>(c)]),
          .scales = scales_b_.data() + col,
          .zeros = zeros_b_.data() + col,
          .column_sums = column_sums_.data() + c * n_ + col,
          .n = cols,
          .scale_ab = scale_ab + col,
          .zero_b = zero_b + col,
          .constant = constant + col};
}

Epilogue::Row Epilogue::row(std::int64_t i, std::vector<double>& scratch) const {
  if (one_row_grid_) return of_class(class_of(i));
  const double* constant = nullptr;
  const Rows all = rows(i, 0, n_, std::span(&constant, 1), scratch, coefficients);
  return {all.scale_ab, all.zero_b, constant};
}

Epilogue::Rows Epilogue::rows(std::int64_t first, std::int64_t col, std::int64_t cols,
                              std::span<const double*> constants, std::vector<double>& scratch,
                              Fill fill) const {
  if (one_row_grid_) {
    for (std::size_t r = 0; r < constants.size(); ++r)
      constants[r] = of_class(class_of(first + static_cast<std::int64_t>(r))).constant;
    return {table_.data(), table_.data() + width_, 0};
  }
  const std::int64_t stride = 3 * n_;
  scratch.resize(constants.size() * static_cast<std::size_t>(stride));
  for (std::size_t r = 0; r < constants.size(); ++r) {
    const std::int64_t i = first + static_cast<std::int64_t>(r);
    double* const table = scratch.data() + static_cast<std::int64_t>(r) * stride;
    constants[r] = table + 2 * n_;
    fill(parts_of(i, class_of(i), col, cols, table, table + n_, table + 2 * n_));
  }
  return {scratch.data(), scratch.data() + n_, stride};
}

std::uint64_t Epilogue::finish(std::int64_t i, std::int64_t first, std::span<std::int64_t> sums,
                               std::int64_t row_sum, std::vector<double>& scratch) const {
  const Problem& p = *problem_;
  const auto n = static_cast<std::int64_t>(sums.size());
  const bool wraps = p.accumulator.kind == Accumulator::Kind::wrap;
  const std::uint64_t events = wraps ? wrap(sums.data(), n, p.accumulator.bits) : 0;
  const Row k = row(i, scratch);
  const auto a_sum = static_cast<double>(row_sum);
  // Results that lie apart are written one by one.
  const std::int64_t together = p.transposed_out ? 1 : n;
  for (std::int64_t s = 0; s < n; s += together) {
    const std::int64_t j = first + s;
    float* const out = &p.c(i, j);
    scale_sums(sums.data() + s, together, a_sum, k.scale_ab + j, k.zero_b + j, k.constant + j, out);
    for (std::int64_t t = 0; p.bias != nullptr && t < together; ++t) out[t] += p.bias[j + t];
  }
  return events;
}

}  // namespace ebb::kernels
