#pragma once

#include <cstdint>

/// The loops of layer normalisation and softmax, which sum along rows, one set per instruction set.
/// As in norm_rows.h only plain pointers and numbers cross this line. Sums are chained_sum of
/// core/sums.h.
namespace ebb::kernels {

struct RowKernels {
  double (*sum)(const float* row, std::int64_t n);
  /// g becomes p (g - sum of p g) scale.
  void (*softmax_gradient)(const float* p, std::int64_t n, float scale, float* g);
  /// Layer norm of contiguous [rows, width]: normal = (x - mean) / sqrt(variance + epsilon) by row,
  /// y = normal weight + bias; inverse[i] is what row i was multiplied by.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, double epsilon,
                     std::int64_t rows, std::int64_t width, float* normal, float* y,
                     float* inverse);
  /// Turns the gradient of y into that of x.
  void (*layer_norm_gradient)(const float* normal, const float* weight, const float* inverse,
                              std::int64_t rows, std::int64_t width, float* g);

  static const RowKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
