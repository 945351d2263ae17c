#pragma once

#include "quant/kernels/tile.h"

/// Compiled for every instruction set, hence in an unnamed namespace.
namespace ebb::kernels {
namespace {

inline void coefficients(const RowCoefficients& row) {
  const double scale = row.scale, zero = row.zero, taps = row.taps;
  const double* __restrict scales = row.scales, * __restrict zeros = row.zeros, * __restrict sums = row.sums;
  double* __restrict alpha = row.alpha, * __restrict beta = row.beta, * __restrict gamma = row.gamma;
  for (std::int64_t j = 0; j < row.n; ++j) {
    alpha[j] = scale * scales[j];
    beta[j] = scale * zeros[j];
    gamma[j] = (zero * scales[j]) * sums[j] + (zero * zeros[j]) * taps;
  }
}

}  // namespace
}  // namespace ebb::kernels
