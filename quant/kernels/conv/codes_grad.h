#pragma once

#include <cstdint>

#include "quant/kernels/dense/tile.h"
#include "quant/kernels/problem.h"

/// The weights' gradient of a convolution of integer codes, which contracts over positions. No
/// patches are gathered: each line of the image is interleaved once per column of taps into groups
/// of positions, and the rows of taps only shift the first line.
namespace ebb::kernels {

/// Whether a problem that is_weight_gradient() can be done so.
bool conv_codes_grad_applies(const Problem& problem);
std::uint64_t conv_codes_grad(const Problem& problem, const TileMicrokernel& micro);

}  // namespace ebb::kernels
