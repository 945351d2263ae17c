#pragma once

#include <cstdint>

#include "quant/kernels/dense/float_tile.h"
#include "quant/kernels/problem.h"

namespace ebb::kernels {

/// Copies pixels of a line of the image, or of one group's channels, to neighbours.
void copy_pixels(const PatchGeometry& geometry, const float* from, std::int64_t pixels, float* to);

/// The weights' gradient of a float32 convolution.
void conv_float_grad(const Problem& problem, const FloatConvKernels& kernels);

}  // namespace ebb::kernels
