#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "quant/kernels/problem.h"

namespace ebb::kernels {

/// What is known of the numbers of a format: their largest magnitude and the smallest positive one,
/// of which all are multiples.
struct Span {
  double max, unit;
};
Span span_of(Format format);

/// Rows first .. first + rows of the left operand, one after the other, each k numbers divided by
/// `unit`; and all columns of the right one. `Number` is float or double.
template <class Number>
std::vector<Number> left_rows(const Problem& p, std::int64_t first, std::int64_t rows, double unit);
template <class Number>
std::vector<Number> right_columns(const Problem& p, double unit);

/// Whether no number of an operand is an infinity or a NaN.
bool all_finite(const CodeMatrix& x);

extern template std::vector<float> left_rows(const Problem&, std::int64_t, std::int64_t, double);
extern template std::vector<double> left_rows(const Problem&, std::int64_t, std::int64_t, double);
extern template std::vector<float> right_columns(const Problem&, double);
extern template std::vector<double> right_columns(const Problem&, double);

/// Calls sum_of(a, b, k) for every output, from all threads, with the row and the column that it is
/// the product of, and stores what that returns: exact, or rounded to odd in float64.
template <class Number, class SumOf>
void for_outputs(const Problem& p, double left_unit, double right_unit, const SumOf& sum_of) {
  const std::int64_t k = p.k(), n = p.n();
  const std::vector<Number> columns = right_columns<Number>(p, right_unit);
  parallel_rows(p.m(), k * n + k, [&](std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t kRows = 16;  // that are gathered together
    for (std::int64_t first = begin; first < end; first += kRows) {
      const std::int64_t count = std::min(kRows, end - first);
      const std::vector<Number> rows = left_rows<Number>(p, first, count, left_unit);
      for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t j = 0; j < n; ++j)
          p.finish(first + i, j, sum_of(rows.data() + i * k, columns.data() + j * k, k));
      }
    }
  });
}

}  // namespace ebb::kernels
