#pragma once

#include <cstdint>

#include "quant/kernels/float_tile.h"
#include "quant/kernels/problem.h"

/// Float32 convolutions that gather no patches: lines of the image are copied once into a
/// zero-padded block, where the taps of neighbouring positions lie a constant distance apart.
namespace ebb::kernels {

/// A patch matrix on the left with one of step and divide equal to 1 (forward and grad_input).
bool conv_float_applies(const Problem& problem);
void conv_float(const Problem& problem, const FloatConvKernels& kernels);

/// Copies pixels of a line of the image, or of one group's channels, to neighbours.
void copy_pixels(const PatchGeometry& geometry, const float* from, std::int64_t pixels, float* to);

/// A transposed patch matrix of a convolution's input on the left (grad_weight).
bool conv_float_grad_applies(const Problem& problem);
void conv_float_grad(const Problem& problem, const FloatConvKernels& kernels);

}  // namespace ebb::kernels
