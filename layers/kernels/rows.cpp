#include "layers/kernels/rows.h"

#include "core/kernels/lanes.h"

// What is a vector's work and what is left for single elements cannot matter: sums are cut into the
// chains of chained_sum (core/sums.h), whatever adds them.

namespace ebb::kernels {
namespace {

constexpr int kChains = 16, kWide = Half::kCount, kVectors = kChains / kWide;

/// result[s] is chained_sum over a row of n numbers; term(Lanes, j, terms) writes those from j on
/// for every s.
template <int kSums, class Term>
inline void chained_sums(std::int64_t n, const Term& term, double (&result)[std::size_t{kSums}]) {
  Half::Double sums[std::size_t{kSums}][std::size_t{kVectors}] = {}, terms[std::size_t{kSums}];
  std::int64_t j = 0;
  for (; j + kChains <= n; j += kChains) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      term(Half{}, j + v * kWide, terms);
#pragma GCC unroll 2
      for (int s = 0; s < kSums; ++s) sums[s][v] += terms[s];
    }
  }
  double chains[std::size_t{kSums}][std::size_t{kChains}], single[std::size_t{kSums}];
  __builtin_memcpy(chains, sums, sizeof chains);
  for (int c = 0; j < n; ++c, ++j) {
    term(Single{}, j, single);
    for (int s = 0; s < kSums; ++s) chains[s][c] += single[s];
  }
  for (int s = 0; s < kSums; ++s) {
    for (int pairs = kChains / 2; pairs > 0; pairs /= 2) {
      for (int pair = 0; pair < pairs; ++pair)
        chains[s][pair] = chains[s][2 * pair] + chains[s][2 * pair + 1];
    }
    result[s] = chains[s][0];
  }
}

double sum(const float* row, std::int64_t n) {
  double result[1];
  chained_sums<1>(
      n,
      [&](auto lanes, std::int64_t j, auto& terms) {
        widen(load<decltype(lanes)>(row + j), terms[0]);
      },
      result);
  return result[0];
}

void softmax_gradient(const float* p, std::int64_t n, float scale, float* g) {
  double along[1];
  const auto product = [&](auto lanes, std::int64_t j, auto& terms) {
    using Lanes = decltype(lanes);
    typename Lanes::Double share;
    widen(load<Lanes>(g + j), terms[0]);
    widen(load<Lanes>(p + j), share);
    terms[0] *= share;
  };
  chained_sums<1>(n, product, along);
  const auto mean = static_cast<float>(along[0]);
  for_each_strip<Half>(n, [&](auto lanes, std::int64_t j) {
    using Lanes = decltype(lanes);
    store(g + j, load<Lanes>(p + j) * (load<Lanes>(g + j) - mean) * scale);
  });
}

void layer_norm(const float* x, const float* weight, const float* bias, double epsilon,
                std::int64_t rows, std::int64_t width, float* normal, float* y, float* inverse) {
  const auto n = static_cast<double>(width);
  for (std::int64_t i = 0; i < rows; ++i, x += width, normal += width, y += width) {
    const double mean = sum(x, width) / n;
    const auto squares = [&](auto lanes, std::int64_t j, auto& terms) {
      widen(load<decltype(lanes)>(x + j), terms[0]);
      terms[0] -= mean;
      terms[0] *= terms[0];
    };
    double variance[1];
    chained_sums<1>(width, squares, variance);
    const double slope = 1.0 / __builtin_sqrt(variance[0] / n + epsilon);
    inverse[i] = static_cast<float>(slope);
    for_each_strip<Half>(width, [&](auto lanes, std::int64_t j) {
      using Lanes = decltype(lanes);
      typename Lanes::Double wide;
      typename Lanes::Float narrow;
      widen(load<Lanes>(x + j), wide);
      wide -= mean;
      wide *= slope;
      narrow_to(wide, narrow);
      store(normal + j, narrow);
      store(y + j, narrow * load<Lanes>(weight + j) + load<Lanes>(bias + j));
    });
  }
}

void layer_norm_gradient(const float* normal, const float* weight, const float* inverse,
                         std::int64_t rows, std::int64_t width, float* g) {
  const auto n = static_cast<double>(width);
  for (std::int64_t i = 0; i < rows; ++i, normal += width, g += width) {
    double sums[2];
    const auto weighted = [&](auto lanes, std::int64_t j, auto& terms) {
      using Lanes = decltype(lanes);
      const typename Lanes::Float v = load<Lanes>(g + j) * load<Lanes>(weight + j);
      store(g + j, v);
      widen(v, terms[0]);
      widen(load<Lanes>(normal + j), terms[1]);
      terms[1] *= terms[0];
    };
    chained_sums<2>(width, weighted, sums);
    const auto mean = static_cast<float>(sums[0] / n), along = static_cast<float>(sums[1] / n);
    const float scale = inverse[i];
    for_each_strip<Half>(width, [&](auto lanes, std::int64_t j) {
      using Lanes = decltype(lanes);
      store(g + j, ((load<Lanes>(g + j) - mean) - load<Lanes>(normal + j) * along) * scale);
    });
  }
}

constexpr RowKernels kRows{sum, softmax_gradient, layer_norm, layer_norm_gradient};

}  // namespace

constinit const RowKernels RowKernels::EBB_TARGET = kRows;

}  // namespace ebb::kernels
