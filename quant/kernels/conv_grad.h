#pragma once

#include <cstdint>

#include "quant/kernels/problem.h"
#include "quant/kernels/tile.h"

/// The weights' gradient of a convolution of integer codes, which contracts over positions. No
/// patches are gathered: each line of the image is interleaved once a column of taps into groups of
/// positions, and the rows of taps only shift the first line.
namespace ebb::kernels {

/// A transposed patch matrix of a convolution's input on the left and rows of codes on the right.
bool conv_grad_applies(const Problem& problem);
std::uint64_t conv_grad(const Problem& problem, const TileMicrokernel& micro);

}  // namespace ebb::kernels
