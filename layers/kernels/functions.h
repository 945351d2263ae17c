#pragma once

#include <cstdint>

/// Elementary functions over arrays of float32, one set per instruction set, all with the same
/// bits. Only plain pointers and numbers cross this line, as in norm_rows.h. x and out may be the
/// same.
namespace ebb::kernels {

struct FunctionKernels {
  void (*exp)(const float* x, std::int64_t n, float shift, float* out);  ///< e^(x - shift)
  void (*sigmoid)(const float* x, std::int64_t n, float* out);
  void (*tanh)(const float* x, std::int64_t n, float* out);
  /// gate = sigmoid(x (slope + cube x^2)), y = x gate.
  void (*gated)(const float* x, std::int64_t n, float slope, float cube, float* gate, float* y);
  /// g becomes its product with the derivative of y.
  void (*gated_gradient)(const float* x, const float* gate, std::int64_t n, float slope, float cube,
                         float* g);
  /// e^(x - shift) in double with the bits of math::exp; false, and nothing of use in out, unless
  /// every x - shift is in +-700.
  bool (*exp_double)(const float* x, std::int64_t n, double shift, double* out);

  static const FunctionKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
