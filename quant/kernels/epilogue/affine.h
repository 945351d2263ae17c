#pragma once

#include <cstdint>

/// How the exact sums of a product of codes become float32, stated once for all kernels. For codes
/// q_a and q_b of numbers s_a q_a + z_a and s_b q_b + z_b, over the k that are no padding of row i,
/// let S be the sum of q_a q_b, A that of q_a, B that of q_b and V their number. Then
/// | c(i, j) = float((scale_ab S + zero_b A) + constant)
/// | scale_ab = s_a s_b, zero_b = s_a z_b, constant = (z_a s_b) B + (z_a z_b) V
///
/// all in double. The last three terms are the compensation of zero points. pending_avx512.h says
/// the first line again in instructions, for sums that are scaled while others grow.
///
/// Functions are in an unnamed namespace: files that are compiled for one instruction set get their
/// own.
namespace ebb::kernels {

/// One row's coefficients of n columns, and what they are made of.
struct RowCoefficients {
  double scale, zero, valid;                   ///< s_a, z_a and V
  const double *scales, *zeros, *column_sums;  ///< s_b, z_b and B
  std::int64_t n;
  double *scale_ab, *zero_b, *constant;
};

namespace {

inline void coefficients(const RowCoefficients& row) {
  const double scale = row.scale, zero = row.zero, valid = row.valid;
  const double* __restrict scales = row.scales, * __restrict zeros = row.zeros, * __restrict sums = row.column_sums;
  double* __restrict scale_ab = row.scale_ab, * __restrict zero_b = row.zero_b, * __restrict constant = row.constant;
  for (std::int64_t j = 0; j < row.n; ++j) {
    scale_ab[j] = scale * scales[j];
    zero_b[j] = scale * zeros[j];
    constant[j] = (zero * scales[j]) * sums[j] + (zero * zeros[j]) * valid;
  }
}

/// In doubles or vectors of them.
template <class Real>
inline void scale_sum(const Real& sum, const Real& row_sum, const Real& scale_ab,
                      const Real& zero_b, const Real& constant, Real& out) {
  out = (scale_ab * sum + zero_b * row_sum) + constant;
}

/// n outputs of a row from its sums, of whatever type.
template <class Sum>
inline void scale_sums(const Sum* sums, std::int64_t n, double row_sum, const double* scale_ab,
                       const double* zero_b, const double* constant, float* out) {
  for (std::int64_t j = 0; j < n; ++j) {
    double c;
    scale_sum(static_cast<double>(sums[j]), row_sum, scale_ab[j], zero_b[j], constant[j], c);
    out[j] = static_cast<float>(c);
  }
}

/// Takes sums modulo 2^bits, as two's complement; returns how often they went round.
template <class Sum, class Unsigned>
inline std::uint64_t wrap_each(Sum* sums, std::int64_t n, int bits) {
  const int unused = 8 * static_cast<int>(sizeof(Sum)) - bits;
  std::uint64_t turns = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const Sum kept = static_cast<Sum>(static_cast<Unsigned>(sums[j]) << unused) >> unused;
    const Sum round = (sums[j] - kept) >> bits;
    turns += static_cast<Unsigned>(round < 0 ? -round : round);
    sums[j] = kept;
  }
  return turns;
}
inline std::uint64_t wrap(std::int32_t* sums, std::int64_t n, int bits) {
  return wrap_each<std::int32_t, std::uint32_t>(sums, n, bits);
}
inline std::uint64_t wrap(std::int64_t* sums, std::int64_t n, int bits) {
  return wrap_each<std::int64_t, std::uint64_t>(sums, n, bits);
}

}  // namespace
}  // namespace ebb::kernels
