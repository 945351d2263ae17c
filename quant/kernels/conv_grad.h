#pragma once

#include <cstdint>

#include "quant/kernels/int8.h"

/// The weights' gradient of a convolution of int8 codes, which contracts over positions. No patches are gathered: each line of the
/// image is interleaved once a column of taps into groups of four positions, and the rows of taps only shift the first line.
namespace ebb::kernels {

/// A transposed patch matrix of a convolution's input on the left, lines within an int32's reach.
bool conv_grad_applies(const Problem& problem);
std::uint64_t conv_grad(const Problem& problem, const Int8Micro& micro);

}  // namespace ebb::kernels
