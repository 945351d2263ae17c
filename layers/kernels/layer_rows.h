#pragma once

#include <cstddef>
#include <cstdint>

/// The loops of layer normalisation over contiguous [rows, width] matrices, one set an instruction set. As in norm_rows.h only
/// plain pointers and numbers cross this line.
namespace ebb::kernels {

struct LayerKernels {
  /// normal = (x - mean) / sqrt(variance + epsilon) by row, y = normal weight + bias; inverse[i] is what row i was multiplied by.
  void (*normalise)(const float* x, const float* weight, const float* bias, double epsilon, std::int64_t rows, std::int64_t width,
                    float* normal, float* y, float* inverse);
  /// Turns the gradient of y into that of x.
  void (*gradient)(const float* normal, const float* weight, const float* inverse, std::int64_t rows, std::int64_t width, float* g);
};

const LayerKernels& layer_portable();
const LayerKernels& layer_avx2();
const LayerKernels& layer_avx512();

}  // namespace ebb::kernels
