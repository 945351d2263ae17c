#include "core/sums.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/kernels/select.h"
#include "core/kernels/sum_rows.h"
#include "core/parallel.h"
#include "core/range_of_parts.h"

namespace ebb {
namespace {

constexpr std::int64_t kFlatWidth = 64;

std::int64_t block_count(std::int64_t rows) { return (rows + kSumBlock - 1) / kSumBlock; }

/// The tree over blocks, for all columns at once: neighbour by neighbour, as in tree_sum. Block b
/// has its sums, `width` of them, at partial + b * stride. Subtrees are added up as soon as they
/// are complete, so at most one of each height waits for its neighbour.
std::vector<double> combined(const double* partial, std::int64_t blocks, std::int64_t stride,
                             std::int64_t width) {
  const auto heights =
      static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(blocks)));
  std::vector<double> waiting(static_cast<std::size_t>(heights * width));
  const auto of_height = [&](std::int64_t h) { return waiting.data() + h * width; };
  const auto add = [width](const double* left, const double* right, double* out) {
    for (std::int64_t j = 0; j < width; ++j) out[j] = left[j] + right[j];
  };
  for (std::int64_t b = 0; b + 1 < blocks; b += 2) {
    // As many subtrees wait for this pair as the number of pairs before it ends in ones.
    const std::int64_t met = std::countr_one(static_cast<std::uint64_t>(b / 2));
    double* const pair = of_height(met + 1);
    add(partial + b * stride, partial + (b + 1) * stride, pair);
    for (std::int64_t h = 1; h <= met; ++h) add(of_height(h), pair, pair);
  }
  // The subtrees left are as high as the ones among the bits of `blocks`; the lowest is carried up
  // to its neighbour.
  const std::int64_t lowest = std::countr_zero(static_cast<std::uint64_t>(blocks));
  const double* const last = lowest == 0 ? partial + (blocks - 1) * stride : of_height(lowest);
  std::vector<double> sums(last, last + width);
  for (std::int64_t h = lowest + 1; h < heights; ++h) {
    if ((blocks >> h & 1) != 0) add(of_height(h), sums.data(), sums.data());
  }
  return sums;
}

/// Runs block(first_row, last_row, partial sums) for every block of rows, then combines the blocks
/// by columns with the tree. `width` is the number of sums a block yields.
template <class Block>
std::vector<double> blocked(std::int64_t rows, std::int64_t width, const Block& block) {
  const std::int64_t blocks = block_count(rows);
  std::vector<double> partial(static_cast<std::size_t>(std::max<std::int64_t>(blocks, 1) * width),
                              0.0);
  const std::int64_t grain =
      std::max<std::int64_t>(1, kParallelGrain / std::max<std::int64_t>(1, width * kSumBlock));
  parallel_for(
      blocks,
      [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t b = first; b < last; ++b)
          block(b * kSumBlock, std::min(rows, (b + 1) * kSumBlock), partial.data() + b * width);
      },
      grain, 1);
  return combined(partial.data(), std::max<std::int64_t>(blocks, 1), width, width);
}

/// Adds rows first .. last of a to sum and, if dot is given, of a b to dot.
void add_rows(const ConstMatrix& a, const ConstMatrix& b, std::int64_t first, std::int64_t last,
              Simd simd, double* sum, double* dot) {
  const auto rows = [&](const ConstMatrix& x) {
    return kernels::FloatRows{x.data + first * x.row_stride, x.row_stride};
  };
  if (a.col_stride == 1 && b.col_stride == 1)
    return kernels::select<kernels::SumKernels>(simd).sum(rows(a), rows(b), last - first, a.cols,
                                                          sum, dot);
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t j = 0; j < a.cols; ++j) {
      const double v = static_cast<double>(a(i, j));
      sum[j] += v;
      if (dot != nullptr) dot[j] += v * static_cast<double>(b(i, j));
    }
  }
}

template <bool kSquares>
std::vector<double> flat(std::span<const float> x) {
  const auto n = static_cast<std::int64_t>(x.size());
  const std::int64_t rows = (n + kFlatWidth - 1) / kFlatWidth;
  std::vector<double> columns =
      blocked(rows, kFlatWidth, [&](std::int64_t first, std::int64_t last, double* out) {
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
    for (std::size_t pair = 0; pair < count / 2; ++pair)
      parts[pair] = parts[2 * pair] + parts[2 * pair + 1];
    if (count % 2 == 1) parts[count / 2] = parts[count - 1];
    count = (count + 1) / 2;
  }
  return parts[0];
}

Tensor rounded(std::span<const double> sums) {
  Tensor result = Tensor::uninitialized({static_cast<std::int64_t>(sums.size())});
  std::ranges::transform(sums, result.data(), [](double sum) { return static_cast<float>(sum); });
  return result;
}

std::vector<double> column_sums(const ConstMatrix& x, Simd simd) {
  return blocked(x.rows, x.cols, [&](std::int64_t first, std::int64_t last, double* out) {
    add_rows(x, x, first, last, simd, out, nullptr);
  });
}

ColumnMoments column_moments(const ConstMatrix& x, Simd simd) {
  require<ShapeError>(x.contiguous(), "[column moments] expected contiguous rows, got strides ",
                      x.row_stride, " and ", x.col_stride);
  ColumnBlocks blocks(x.rows, x.cols, simd);
  parallel_for(
      x.rows,
      [&](std::int64_t first, std::int64_t last) {
        blocks.summarise(x.data + first * x.cols, first, last);
      },
      kParallelGrain / std::max<std::int64_t>(1, x.cols) + 1, kSumBlock);
  return blocks.moments();
}

ColumnDots column_sums_and_dots(const ConstMatrix& a, const ConstMatrix& b, Simd simd) {
  require<ShapeError>(a.rows == b.rows && a.cols == b.cols, "[column dots] shapes differ: ", a.rows,
                      " x ", a.cols, " and ", b.rows, " x ", b.cols);
  const std::int64_t cols = a.cols;
  std::vector<double> both =
      blocked(a.rows, 2 * cols, [&](std::int64_t first, std::int64_t last, double* out) {
        add_rows(a, b, first, last, simd, out, out + cols);
      });
  std::vector<double> dot(both.begin() + cols, both.end());
  both.resize(static_cast<std::size_t>(cols));
  return {std::move(both), std::move(dot)};
}

ColumnBlocks::ColumnBlocks(std::int64_t rows, std::int64_t cols, Simd simd)
    : rows_(rows),
      cols_(cols),
      simd_(simd),
      partial_(static_cast<std::size_t>(block_count(rows) * 2 * cols)),
      ends_(partial_.size()),
      first_(partial_.size() / 2) {}

void ColumnBlocks::summarise(const float* rows, std::int64_t first, std::int64_t last) {
  assert(first % kSumBlock == 0 && (last % kSumBlock == 0 || last == rows_));
  for (std::int64_t row = first; row < last; row += kSumBlock, rows += kSumBlock * cols_) {
    const std::int64_t at = row / kSumBlock * 2 * cols_;
    float *const min = ends_.data() + at, *const max = min + cols_;
    std::fill_n(min, cols_, std::numeric_limits<float>::infinity());
    std::fill_n(max, cols_, -std::numeric_limits<float>::infinity());
    std::copy_n(rows, cols_, first_.data() + at / 2);
    double* const sum = partial_.data() + at;
    std::fill_n(sum, 2 * cols_, 0.0);
    kernels::select<kernels::SumKernels>(simd_).summarise(
        {rows, cols_}, std::min(kSumBlock, last - row), cols_, sum, sum + cols_, min, max);
  }
}

void ColumnBlocks::add_dots(const float* a, const float* b, std::int64_t first, std::int64_t last) {
  assert(first % kSumBlock == 0 && (last % kSumBlock == 0 || last == rows_));
  for (std::int64_t row = first; row < last;
       row += kSumBlock, a += kSumBlock * cols_, b += kSumBlock * cols_) {
    double* const sum = partial_.data() + row / kSumBlock * 2 * cols_;
    std::fill_n(sum, 2 * cols_, 0.0);
    kernels::select<kernels::SumKernels>(simd_).sum(
        {a, cols_}, {b, cols_}, std::min(kSumBlock, last - row), cols_, sum, sum + cols_);
  }
}

std::vector<double> ColumnBlocks::combined_to(std::int64_t end) const {
  std::vector<double> sums(static_cast<std::size_t>(end), 0.0);
  if (rows_ == 0) return sums;
  parallel_rows(end, block_count(rows_), [&](std::int64_t first, std::int64_t last) {
    const std::vector<double> some =
        combined(partial_.data() + first, block_count(rows_), 2 * cols_, last - first);
    std::ranges::copy(some, sums.begin() + first);
  });
  return sums;
}

std::vector<double> ColumnBlocks::sum() const { return combined_to(cols_); }

ColumnDots ColumnBlocks::dots() const {
  std::vector<double> sum = combined_to(2 * cols_);
  std::vector<double> dots(sum.begin() + cols_, sum.end());
  sum.resize(static_cast<std::size_t>(cols_));
  return {std::move(sum), std::move(dots)};
}

ColumnMoments ColumnBlocks::moments() const {
  ColumnMoments moments{combined_to(cols_), std::vector<double>(static_cast<std::size_t>(cols_))};
  if (rows_ == 0) return moments;
  const std::int64_t blocks = block_count(rows_);
  const auto n = static_cast<double>(rows_);
  parallel_rows(cols_, 4 * blocks, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t width = end - begin;
    double* const mean = moments.mean.data() + begin;
    for (std::int64_t j = 0; j < width; ++j) mean[j] /= n;
    std::vector<double> deviations(static_cast<std::size_t>(blocks * width));
    for (std::int64_t b = 0; b < blocks; ++b) {
      const auto rows = static_cast<double>(std::min(kSumBlock, rows_ - b * kSumBlock));
      const double *const sum = partial_.data() + b * 2 * cols_ + begin, *const squares =
                                                                             sum + cols_;
      const float* const first = first_.data() + b * cols_ + begin;
      double* const out = deviations.data() + b * width;
      for (std::int64_t j = 0; j < width; ++j) {
        const double own = sum[j] / rows, within = own - static_cast<double>(first[j]),
                     between = own - mean[j];
        out[j] = (squares[j] - rows * (within * within)) + rows * (between * between);
      }
    }
    const std::vector<double> total = combined(deviations.data(), blocks, width, width);
    for (std::size_t j = 0; j < total.size(); ++j) {
      const double spread = total[j] / n;
      moments.variance[static_cast<std::size_t>(begin) + j] =
          spread < 0 ? 0 : spread;  // rounding; a NaN stays
    }
  });
  return moments;
}

std::vector<Range> ColumnBlocks::ranges() const {
  std::vector<Range> ranges(static_cast<std::size_t>(cols_));
  if (rows_ == 0) return ranges;
  parallel_rows(cols_, 4 * block_count(rows_), [&](std::int64_t begin, std::int64_t end) {
    const auto first = static_cast<std::size_t>(begin), last = static_cast<std::size_t>(end),
               cols = static_cast<std::size_t>(cols_);
    std::vector<double> zero_or_nan(last,
                                    0.0);  // becomes NaN where a value is not finite: a sum of
                                           // finite floats cannot overflow a double
    for (std::size_t j = first; j < last; ++j) ranges[j] = {ends_[j], ends_[cols + j]};
    for (std::size_t at = 0; at < ends_.size(); at += 2 * cols) {
      for (std::size_t j = first; j < last; ++j) {
        ranges[j].min = std::min(ranges[j].min, ends_[at + j]);
        ranges[j].max = std::max(ranges[j].max, ends_[at + cols + j]);
        zero_or_nan[j] += partial_[at + j] - partial_[at + j];
      }
    }
    for (std::size_t j = first; j < last; ++j) {
      if (zero_or_nan[j] != 0.0)
        ranges[j].min = ranges[j].max = std::numeric_limits<float>::quiet_NaN();
    }
  });
  return ranges;
}

Range ColumnBlocks::range() const {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  bool finite = true;
  float low = infinity, high = -infinity;
  for (const Range& column : ranges()) {
    finite = finite && column.finite();
    low = std::min(low, column.min);
    high = std::max(high, column.max);
  }
  RangeOfParts all;
  if (rows_ * cols_ > 0) all.add(finite, low, high);
  return all.range();
}

double sum_of_squares(std::span<const float> x) {
  std::vector<double> columns = flat<true>(x);
  return tree_sum(columns);
}

double sum_of(std::span<const float> x) {
  std::vector<double> columns = flat<false>(x);
  return tree_sum(columns);
}

}  // namespace ebb
