#pragma once

#include "quant/kernels/problem.h"

namespace ebb::kernels {

/// Products of integer codes with exact or wrap-around accumulators, on packed tiles: of two int8
/// operands, and of any.
bool int8_applies(const Problem& problem);
bool codes_apply(const Problem& problem);
std::uint64_t int8_on_avx512(const Problem& problem);
std::uint64_t codes_on_avx512(const Problem& problem);
std::uint64_t codes_on_avx2(const Problem& problem);
std::uint64_t codes_anywhere(const Problem& problem);

/// Float32 products, every output one ascending-k chain of fma.
bool float_applies(const Problem& problem);
std::uint64_t float_on_avx512(const Problem& problem);
std::uint64_t float_on_avx2(const Problem& problem);
std::uint64_t float_anywhere(const Problem& problem);

/// Products of any codes through Eigen's float32 or float64 product, where a bound proves every
/// partial sum exact.
bool eigen_float_applies(const Problem& problem);
bool eigen_double_applies(const Problem& problem);
std::uint64_t eigen_float(const Problem& problem);
std::uint64_t eigen_double(const Problem& problem);

/// Saturating accumulators: exact sums where no event is possible, else the definition's additions
/// for many outputs at once.
bool saturating_applies(const Problem& problem);
std::uint64_t saturating_on_avx512(const Problem& problem);
std::uint64_t saturating_on_avx2(const Problem& problem);
std::uint64_t saturating_anywhere(const Problem& problem);

}  // namespace ebb::kernels
