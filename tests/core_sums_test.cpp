#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "core/sums.h"

using namespace ebb;

namespace {

Tensor random_matrix(Key key, std::int64_t rows, std::int64_t cols) {
  Tensor x = Tensor::uninitialized({rows, cols});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(key.normal(static_cast<std::uint64_t>(i)));
  return x;
}

/// The definition, one column at a time: ascending inside blocks of 64 rows, then neighbours
/// pairwise.
template <class Term>
double column_by_definition(std::int64_t rows, const Term& term) {
  std::vector<double> parts;
  for (std::int64_t first = 0; first < rows; first += 64) {
    double block = 0;
    for (std::int64_t i = first; i < std::min(rows, first + 64); ++i) block += term(i);
    parts.push_back(block);
  }
  while (parts.size() > 1) {
    std::vector<double> next;
    for (std::size_t i = 0; i < parts.size(); i += 2)
      next.push_back(i + 1 < parts.size() ? parts[i] + parts[i + 1] : parts[i]);
    parts = next;
  }
  return parts.empty() ? 0.0 : parts[0];
}

/// Mean and variance as core/sums.h defines them: squares about each block's first row, moved to
/// the mean of all.
std::pair<double, double> moments_by_definition(std::int64_t rows,
                                                const std::function<double(std::int64_t)>& x) {
  const auto n = static_cast<double>(rows);
  const double mean = column_by_definition(rows, x) / n;
  std::vector<double> deviations;  // one a block, which a tree then adds
  for (std::int64_t first = 0; first < rows; first += 64) {
    const std::int64_t last = std::min(rows, first + 64);
    const auto count = static_cast<double>(last - first);
    double sum = 0, squares = 0;
    for (std::int64_t i = first; i < last; ++i) {
      sum += x(i);
      squares = std::fma(x(i) - x(first), x(i) - x(first), squares);
    }
    const double own = sum / count;
    deviations.push_back((squares - count * ((own - x(first)) * (own - x(first)))) +
                         count * ((own - mean) * (own - mean)));
  }
  return {mean, std::max(0.0, tree_sum(deviations) / n)};
}

}  // namespace

TEST_CASE("tree_sum adds neighbours level by level and carries the odd one up") {
  const double big = 0x1p53;
  struct Case {
    const char* why;
    std::vector<double> parts;
    double sum;
  };
  const Case cases[] = {
      {"empty", {}, 0.0},
      {"one", {3.0}, 3.0},
      {"(2^53 + 1) + (1 + 1): the first 1 is lost, the pair is not", {big, 1, 1, 1}, big + 2},
      {"the odd one joins last: ((2^53 + 1) + (1 + 1)) + 1, a tie that goes up to even",
       {big, 1, 1, 1, 1},
       big + 4}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    std::vector<double> parts = c.parts;
    CHECK(tree_sum(parts) == c.sum);
  }
}

TEST_CASE(
    "column sums follow their definition bit for bit, for odd sizes, views and any number of "
    "threads") {
  const int threads = omp_get_max_threads();
  for (const std::int64_t rows : {0, 1, 63, 64, 65, 128, 129, 700}) {
    for (const std::int64_t cols : {1, 3, 64, 257, 300}) {
      CAPTURE(rows);
      CAPTURE(cols);
      const Tensor xt = random_matrix(Key(1).fold("x"), rows, cols),
                   yt = random_matrix(Key(1).fold("y"), rows, cols);
      const Tensor zt = random_matrix(Key(1).fold("z"), cols, rows);
      const ConstMatrix x{xt.data(), rows, cols, cols, 1}, y{yt.data(), rows, cols, cols, 1};
      const ConstMatrix view = ConstMatrix{zt.data(), cols, rows, rows, 1}.transposed();
      for (const int count : {1, 3}) {
        omp_set_num_threads(count);
        const ColumnMoments moments = column_moments(x);
        const ColumnDots dots = column_sums_and_dots(x, y);
        const std::vector<double> of_view = column_sums(view);
        bool equal = dots.sum == column_sums(x);
        for (std::int64_t j = 0; j < cols; ++j) {
          const auto c = static_cast<std::size_t>(j);
          const auto column = [&](std::int64_t i) { return double{x(i, j)}; };
          if (rows > 0)
            equal = equal && std::pair(moments.mean[c], moments.variance[c]) ==
                                 moments_by_definition(rows, column);
          equal =
              equal && dots.sum[c] == column_by_definition(rows, column) &&
              dots.dot[c] == column_by_definition(
                                 rows, [&](std::int64_t i) { return double{x(i, j)} * y(i, j); }) &&
              of_view[c] ==
                  column_by_definition(rows, [&](std::int64_t i) { return double{view(i, j)}; });
        }
        CHECK(equal);
      }
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE(
    "blocks of rows summarised in any order give the column sums, moments and ranges of the whole, "
    "at every SIMD level") {
  for (const std::int64_t rows : {0, 1, 64, 65, 300}) {
    for (const std::int64_t cols : {1, 8, 21, 64}) {
      for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
        if (simd > best_simd()) continue;
        CAPTURE(rows);
        CAPTURE(cols);
        Tensor x = random_matrix(Key(7), rows, cols);
        const Tensor y = random_matrix(Key(8), rows, cols);
        ColumnBlocks summary(rows, cols, simd), dots(rows, cols, simd);
        for (std::int64_t first = (rows - 1) / 64 * 64; rows > 0 && first >= 0; first -= 64) {
          summary.summarise(x.data() + first * cols, first, std::min(rows, first + 64));
          dots.add_dots(x.data() + first * cols, y.data() + first * cols, first,
                        std::min(rows, first + 64));
        }
        CHECK(summary.sum() == column_sums(x.matrix()));
        CHECK(summary.moments().mean == column_moments(x.matrix()).mean);
        CHECK(summary.moments().variance == column_moments(x.matrix()).variance);
        CHECK(dots.dots().sum == column_sums(x.matrix()));
        CHECK(dots.dots().dot == column_sums_and_dots(x.matrix(), y.matrix()).dot);
        const std::vector<Range> ranges = summary.ranges();
        for (std::int64_t j = 0; j < cols && rows > 0; ++j) {
          float low = x[j], high = x[j];
          for (std::int64_t i = 0; i < rows; ++i) {
            low = std::min(low, x[i * cols + j]);
            high = std::max(high, x[i * cols + j]);
          }
          CHECK(ranges[static_cast<std::size_t>(j)] == Range{low, high});
        }
      }
    }
  }
}

TEST_CASE(
    "the range of a column with a NaN or an infinity is not finite, and that of its neighbours "
    "is") {
  constexpr float infinity = std::numeric_limits<float>::infinity(),
                  nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {infinity, -infinity, nan}) {
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      Tensor x = random_matrix(Key(9), 100, 20);
      x[70 * 20 + 3] = bad;
      ColumnBlocks blocks(100, 20, simd);
      blocks.summarise(x.data(), 0, 100);
      for (std::size_t j = 0; j < 20; ++j) CHECK(blocks.ranges()[j].finite() == (j != 3));
    }
  }
}

TEST_CASE("flat sums are the tree over 64 column sums of rows of 64") {
  for (const std::int64_t n : {0, 1, 63, 64, 65, 4095, 4096, 4097, 100000}) {
    CAPTURE(n);
    const Tensor x = random_matrix(Key(2), 1, n);
    std::vector<double> columns, squares;
    for (std::int64_t j = 0; j < 64; ++j) {
      const std::int64_t rows = (n - j + 63) / 64;  // the rows that have a column j
      columns.push_back(
          column_by_definition(rows, [&](std::int64_t i) { return double{x[64 * i + j]}; }));
      squares.push_back(column_by_definition(
          rows, [&](std::int64_t i) { return double{x[64 * i + j]} * x[64 * i + j]; }));
    }
    CHECK(sum_of(x.values()) == tree_sum(columns));
    CHECK(sum_of_squares(x.values()) == tree_sum(squares));
  }
}

TEST_CASE("column dots of different shapes are refused") {
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({3, 2});
  CHECK_THROWS_AS(column_sums_and_dots(a.matrix(), b.matrix()), ShapeError);
  CHECK_THROWS_AS(column_moments(a.matrix().transposed()), ShapeError);
}
