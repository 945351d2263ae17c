#pragma once

#include <cstdint>

#include "quant/kernels/int8.h"

/// Convolutions of int8 codes that gather no patches: lines of the image are copied once into a zero-padded block, where the taps
/// of neighbouring positions lie a constant distance apart.
namespace ebb::kernels {

/// A patch matrix on the left with one of step and divide equal to 1 (forward and grad_input), contraction within an int32's reach.
bool conv_applies(const Problem& problem);
std::uint64_t conv_int8(const Problem& problem, const Int8Micro& micro);

}  // namespace ebb::kernels
