#pragma once

#include "quant/kernels/dense/tile.h"
#include "quant/kernels/problem.h"

/// What the registry is made of: families of kernels, which say what they can multiply.
namespace ebb::kernels {

/// Products of integer codes with exact or wrap-around accumulators, on packed tiles.
bool codes_apply(const Problem& problem);
std::uint64_t multiply_codes(const Problem& problem, const TileMicrokernel& micro);
/// The same of patch matrices in every direction of a convolution, without gathering patches.
/// `applies` is asked of what codes_apply() says yes to.
bool conv_codes_apply(const Problem& problem, const TileMicrokernel& micro);
std::uint64_t convolve_codes(const Problem& problem, const TileMicrokernel& micro);

/// Float32 products, every output one ascending-k chain of fma, and the same of convolutions.
bool floats_apply(const Problem& problem);
std::uint64_t multiply_floats(const Problem& problem, Simd simd);
bool conv_floats_apply(const Problem& problem);
std::uint64_t convolve_floats(const Problem& problem, Simd simd);

/// Products of any codes through Eigen's float32 or float64 product, where a bound proves every
/// partial sum exact.
bool eigen_float_applies(const Problem& problem);
bool eigen_double_applies(const Problem& problem);
std::uint64_t eigen_float(const Problem& problem);
std::uint64_t eigen_double(const Problem& problem);

/// Sums of numbers in the accumulators that are no float32 chain: exact ones by slices whose sums
/// float64 holds, and all of them product by product.
bool slices_apply(const Problem& problem);
std::uint64_t multiply_slices(const Problem& problem, Simd simd);
bool sums_apply(const Problem& problem);
std::uint64_t multiply_sums(const Problem& problem);

/// Products of block formats: of linear codes, by integer sums per block, and of any numbers whose
/// sums over a block float64 holds, as one number or as two.
bool block_codes_apply(const Problem& problem);
std::uint64_t multiply_block_codes(const Problem& problem, Simd simd);
bool block_numbers_apply(const Problem& problem);
std::uint64_t multiply_block_numbers(const Problem& problem, Simd simd);

/// Products of codes that a Multiplier's table multiplies.
bool table_applies(const Problem& problem);
std::uint64_t multiply_by_table(const Problem& problem, Simd simd);

/// Saturating accumulators: exact sums where no event is possible, else the definition's additions
/// for many outputs at once.
bool saturating_applies(const Problem& problem);
std::uint64_t multiply_saturating(const Problem& problem, Simd simd);

}  // namespace ebb::kernels
