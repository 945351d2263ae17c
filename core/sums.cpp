#include "core/sums.h"

#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"

namespace ebb {
namespace {

constexpr std::int64_t kFlatWidth = 64;

/// Runs block(first_row, last_row, partial sums) for every block of rows, then combines the blocks by columns with the tree.
/// `width` is the number of sums a block yields.
template <class Block>
std::vector<double> blocked(std::int64_t rows, std::int64_t width, const Block& block) {
  const std::int64_t blocks = (rows + kSumBlock - 1) / kSumBlock;
  std::vector<double> partial(static_cast<std::size_t>(std::max<std::int64_t>(blocks, 1) * width), 0.0);
  const std::int64_t grain = std::max<std::int64_t>(1, kParallelGrain / std::max<std::int64_t>(1, width * kSumBlock));
  parallel_for(
      blocks,
      [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t b = first; b < last; ++b)
          block(b * kSumBlock, std::min(rows, (b + 1) * kSumBlock), partial.data() + b * width);
      },
      grain, 1);
  // The tree over blocks, for all columns at once: level by level, neighbour by neighbour, as in tree_sum.
  for (std::int64_t count = blocks; count > 1; count = (count + 1) / 2) {
    for (std::int64_t pair = 0; pair < count / 2; ++pair) {
      const double* const left = partial.data() + 2 * pair * width;
      double* const out = partial.data() + pair * width;
      for (std::int64_t j = 0; j < width; ++j) out[j] = left[j] + left[width + j];
    }
    if (count % 2 == 1 && count > 1) {
      std::copy_n(partial.data() + (count - 1) * width, width, partial.data() + (count / 2) * width);
    }
  }
  partial.resize(static_cast<std::size_t>(width));
  return partial;
}

template <bool kSquares>
std::vector<double> flat(std::span<const float> x) {
  const auto n = static_cast<std::int64_t>(x.size());
  const std::int64_t rows = (n + kFlatWidth - 1) / kFlatWidth;
  std::vector<double> columns = blocked(rows, kFlatWidth, [&](std::int64_t first, std::int64_t last, double* out) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t width = std::min(kFlatWidth, n - i * kFlatWidth);
      const float* const row = x.data() + i * kFlatWidth;
      for (std::int64_t j = 0; j < width; ++j) {
        const double v = row[j];
        out[j] += kSquares ? v * v : v;
      }
    }
  });
  return columns;
}

}  // namespace

double tree_sum(std::span<double> parts) {
  std::size_t count = parts.size();
  if (count == 0) return 0.0;
  while (count > 1) {
    for (std::size_t pair = 0; pair < count / 2; ++pair) parts[pair] = parts[2 * pair] + parts[2 * pair + 1];
    if (count % 2 == 1) parts[count / 2] = parts[count - 1];
    count = (count + 1) / 2;
  }
  return parts[0];
}

std::vector<double> column_sums(const ConstMatrix& x) {
  return blocked(x.rows, x.cols, [&](std::int64_t first, std::int64_t last, double* out) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* const row = x.data + i * x.row_stride;
      for (std::int64_t j = 0; j < x.cols; ++j) out[j] += static_cast<double>(row[j * x.col_stride]);
    }
  });
}

ColumnSums column_sums_and_squares(const ConstMatrix& x) {
  const std::int64_t cols = x.cols;
  std::vector<double> both = blocked(x.rows, 2 * cols, [&](std::int64_t first, std::int64_t last, double* out) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* const row = x.data + i * x.row_stride;
      for (std::int64_t j = 0; j < cols; ++j) {
        const double v = row[j * x.col_stride];
        out[j] += v;
        out[cols + j] += v * v;
      }
    }
  });
  std::vector<double> squares(both.begin() + cols, both.end());
  both.resize(static_cast<std::size_t>(cols));
  return {std::move(both), std::move(squares)};
}

ColumnDots column_sums_and_dots(const ConstMatrix& a, const ConstMatrix& b) {
  require<ShapeError>(a.rows == b.rows && a.cols == b.cols, "[column dots] shapes differ: ", a.rows, " x ", a.cols, " and ", b.rows,
                      " x ", b.cols);
  const std::int64_t cols = a.cols;
  std::vector<double> both = blocked(a.rows, 2 * cols, [&](std::int64_t first, std::int64_t last, double* out) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* const ra = a.data + i * a.row_stride;
      const float* const rb = b.data + i * b.row_stride;
      for (std::int64_t j = 0; j < cols; ++j) {
        const double v = ra[j * a.col_stride];
        out[j] += v;
        out[cols + j] += v * static_cast<double>(rb[j * b.col_stride]);
      }
    }
  });
  std::vector<double> dot(both.begin() + cols, both.end());
  both.resize(static_cast<std::size_t>(cols));
  return {std::move(both), std::move(dot)};
}

double sum_of_squares(std::span<const float> x) {
  std::vector<double> columns = flat<true>(x);
  return tree_sum(columns);
}

double sum(std::span<const float> x) {
  std::vector<double> columns = flat<false>(x);
  return tree_sum(columns);
}

}  // namespace ebb
