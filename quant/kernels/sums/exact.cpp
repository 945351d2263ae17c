#include <Eigen/Core>
#include <cmath>

#include "core/text.h"
#include "quant/kernels/registry.h"
#include "quant/kernels/sums/numbers.h"

// Exact sums of numbers that are no small integers. They are added in any order where every partial
// sum is a whole number of units that the type holds; docs/NUMERICS.md has the bounds.
namespace ebb::kernels {
namespace {

__extension__ typedef __int128 int128;  // NOLINT(modernize-use-using): as uint128

double rounded_to_odd(int128 sum, int exponent) {
  const bool negative = sum < 0;
  auto magnitude = negative ? -static_cast<uint128>(sum) : static_cast<uint128>(sum);
  while (magnitude >> 53 != 0) {
    magnitude = magnitude >> 1 | (magnitude & 1);  // a lost bit keeps the last one odd
    ++exponent;
  }
  const double value =
      std::ldexp(static_cast<double>(static_cast<std::uint64_t>(magnitude)), exponent);
  return negative ? -value : value;
}

bool is_exact(const Problem& p) {
  return p.both_float() && p.accumulator.kind == Accumulator::Kind::exact && p.k() > 0;
}

}  // namespace

bool exact_double_applies(const Problem& p) {
  return is_exact(p) && largest_sum(p) <= 0x1p53 && all_finite(p.a.codes()) &&
         all_finite(p.b.codes());
}

bool exact_integer_applies(const Problem& p) {
  if (!is_exact(p) || largest_sum(p) > 0x1p126) return false;
  for (const Operand* x : {&p.a, &p.b}) {
    const Span span = span_of(x->format());
    if (span.max / span.unit > 0x1p62 || !all_finite(x->codes())) return false;
  }
  return true;
}

std::uint64_t exact_double(const Problem& p) {
  using Block = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Rows = Eigen::Map<const Block>;
  constexpr std::int64_t kRows = 64;
  const std::int64_t m = p.m(), n = p.n(), k = p.k();
  const std::vector<double> columns = right_columns<double>(p, 1);
  const Rows right(columns.data(), n, k);
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t first = 0; first < m; first += kRows) {
    const std::int64_t count = std::min(kRows, m - first);
    const std::vector<double> rows = left_rows<double>(p, first, count, 1);
    const Block sums = Rows(rows.data(), count, k) * right.transpose();
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < n; ++j) p.finish(first + i, j, sums(i, j));
    }
  }
  return 0;
}

std::uint64_t exact_integer(const Problem& p) {
  const double a_unit = span_of(p.a.format()).unit, b_unit = span_of(p.b.format()).unit;
  const int exponent = std::ilogb(a_unit) + std::ilogb(b_unit);
  for_outputs<std::int64_t>(p, a_unit, b_unit,
                            [&](const std::int64_t* a, const std::int64_t* b, std::int64_t k) {
                              int128 sum = 0;
                              for (std::int64_t s = 0; s < k; ++s)
                                sum += static_cast<int128>(a[s]) * b[s];
                              return rounded_to_odd(sum, exponent);
                            });
  return 0;
}

}  // namespace ebb::kernels
