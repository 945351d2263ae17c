#include "core/kernels/sum_rows.h"

#include "core/kernels/lanes.h"

// Columns go in strips whose sums stay in registers down a few rows; how wide the strips are and
// how many the rows cannot matter, since columns never meet and rows ascend.

namespace ebb::kernels {
namespace {

constexpr int kWide = Half::kCount;

template <int kCount>
struct Count {
  static constexpr int kValue = kCount;
};

/// Calls run(first row, rows) for groups of rows. Wide rows go a few at a time: processors foresee
/// as many streams along the rows, but not strips down a long way of them. Narrow ones lie so close
/// that they are a stream by themselves.
template <class Run>
void for_each_group(std::int64_t rows, std::int64_t cols, const Run& run) {
  const std::int64_t group = cols < 64 ? rows : 8;
  for (std::int64_t first = 0; first < rows; first += group)
    run(first, group < rows - first ? group : rows - first);
}

/// Calls run(Lanes, number of strips, first column) for strips that cover all columns, two side by
/// side as long as there are two: a sum waits for the one before it, and the other strip's can be
/// added meanwhile.
template <class Run>
void for_each_pair(std::int64_t cols, const Run& run) {
  std::int64_t j = 0;
  for (; j + 2 * kWide <= cols; j += 2 * kWide) run(Half{}, Count<2>{}, j);
  for (; j + kWide <= cols; j += kWide) run(Half{}, Count<1>{}, j);
  for (; j < cols; ++j) run(Single{}, Count<1>{}, j);
}

template <bool kDot>
void sum_strips(FloatRows a, FloatRows b, std::int64_t rows, std::int64_t cols, double* sum,
                double* dot) {
  for_each_pair(cols, [&](auto lanes, auto count, std::int64_t j) {
    using Lanes = decltype(lanes);
    typename Lanes::Double s[count.kValue], d[count.kValue], x, y;
    for (int k = 0; k < count.kValue; ++k) {
      fetch(s[k], sum + j + k * kWide);
      fetch(d[k], dot + j + k * kWide);
    }
    const float *from = a.data + j, *with = b.data + j;
    for (std::int64_t i = 0; i < rows; ++i, from += a.stride, with += b.stride) {
      for (int k = 0; k < count.kValue; ++k) {
        widen(load<Lanes>(from + k * kWide), x);
        s[k] += x;
        if (kDot) {
          widen(load<Lanes>(with + k * kWide), y);
          d[k] += x * y;
        }
      }
    }
    for (int k = 0; k < count.kValue; ++k) {
      store(sum + j + k * kWide, s[k]);
      if (kDot) store(dot + j + k * kWide, d[k]);
    }
  });
}

void sum_rows(FloatRows a, FloatRows b, std::int64_t rows, std::int64_t cols, double* sum,
              double* dot) {
  for_each_group(rows, cols, [&](std::int64_t first, std::int64_t count) {
    const FloatRows from{a.data + first * a.stride, a.stride};
    if (dot == nullptr) {
      sum_strips<false>(from, from, count, cols, sum, sum);
    } else {
      sum_strips<true>(from, {b.data + first * b.stride, b.stride}, count, cols, sum, dot);
    }
  });
}

void summarise_strips(FloatRows a, const float* centre, std::int64_t rows, std::int64_t cols,
                      double* sum, double* squares, float* min, float* max) {
  for_each_pair(cols, [&](auto lanes, auto count, std::int64_t j) {
    using Lanes = decltype(lanes);
    typename Lanes::Double s[count.kValue], q[count.kValue], c[count.kValue], x;
    typename Lanes::Float low[count.kValue], high[count.kValue];
    for (int k = 0; k < count.kValue; ++k) {
      fetch(s[k], sum + j + k * kWide);
      fetch(q[k], squares + j + k * kWide);
      widen(load<Lanes>(centre + j + k * kWide), c[k]);
      fetch(low[k], min + j + k * kWide);
      fetch(high[k], max + j + k * kWide);
    }
    const float* from = a.data + j;
    for (std::int64_t i = 0; i < rows; ++i, from += a.stride) {
      for (int k = 0; k < count.kValue; ++k) {
        const typename Lanes::Float v = load<Lanes>(from + k * kWide);
        widen(v, x);
        s[k] += x;
        x -= c[k];
        add_product(x, x, q[k]);
        low[k] = v < low[k] ? v : low[k];
        high[k] = v > high[k] ? v : high[k];
      }
    }
    for (int k = 0; k < count.kValue; ++k) {
      store(sum + j + k * kWide, s[k]);
      store(squares + j + k * kWide, q[k]);
      store(min + j + k * kWide, low[k]);
      store(max + j + k * kWide, high[k]);
    }
  });
}

void summarise_rows(FloatRows a, std::int64_t rows, std::int64_t cols, double* sum, double* squares,
                    float* min, float* max) {
  for_each_group(rows, cols, [&](std::int64_t first, std::int64_t count) {
    summarise_strips({a.data + first * a.stride, a.stride}, a.data, count, cols, sum, squares, min,
                     max);
  });
}

constexpr SumKernels kSums{sum_rows, summarise_rows};

}  // namespace

constinit const SumKernels SumKernels::EBB_TARGET = kSums;

}  // namespace ebb::kernels
