#pragma once

#include <cstdint>

#include "quant/kernels/problem.h"
#include "quant/kernels/tile.h"

/// Convolutions of integer codes that gather no patches: lines of the image are copied once into a
/// zero-padded block, where the taps of neighbouring positions lie a constant distance apart.
namespace ebb::kernels {

/// A patch matrix on the left with one of step and divide equal to 1 (forward and grad_input),
/// whose sums fit an int32 over at least one group of every tap.
bool conv_applies(const Problem& problem, const TileMicrokernel& micro);
std::uint64_t conv_codes(const Problem& problem, const TileMicrokernel& micro);

}  // namespace ebb::kernels
