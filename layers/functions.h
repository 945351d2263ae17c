#pragma once

#include <cstdint>

#include "core/simd.h"

namespace ebb {

/// Functions of arrays of float32 and of rows, with the same bits for every instruction set
/// (docs/NUMERICS.md). x and out may be the same. NaN stays NaN.

/// e^d of d = x - shift, rounded to float32, within 2 units of 2^-24 relative; 0 for d below -86.9,
/// infinity from 88.73.
void exp_rows(const float* x, std::int64_t n, float shift, float* out, Simd simd);
/// math::exp(x - shift).
void exp_rows(const float* x, std::int64_t n, double shift, double* out, Simd simd);
/// 1 / (1 + e^-x).
void sigmoid_rows(const float* x, std::int64_t n, float* out, Simd simd);
void tanh_rows(const float* x, std::int64_t n, float* out, Simd simd);
/// gate = 1 / (1 + e^-z) of z = x (slope + cube x^2), y = x gate, 0 where the gate is: what GELU's
/// approximation comes to.
void gated_rows(const float* x, std::int64_t n, float slope, float cube, float* gate, float* y,
                Simd simd);
/// g (gate + gate (1 - gate) x (slope + 3 cube x^2)), in place of g; g gate where gate (1 - gate)
/// is 0.
void gated_gradient_rows(const float* x, const float* gate, std::int64_t n, float slope, float cube,
                         float* g, Simd simd);

/// chained_sum of a row (core/sums.h).
double sum_row(const float* row, std::int64_t n, Simd simd);
/// Softmax backward of one row, in place: g, the gradient of the probabilities p, becomes that of
/// the logits, scale p (g - sum of p g).
void softmax_gradient_row(const float* p, std::int64_t n, float scale, float* g, Simd simd);
/// Layer norm of contiguous rows: `normal` = (x - mean) inverse, y = normal weight + bias, and
/// `inverse` of each row.
void layer_norm_rows(const float* x, const float* weight, const float* bias, double epsilon,
                     std::int64_t rows, std::int64_t width, float* normal, float* y, float* inverse,
                     Simd simd);
/// The gradient of y becomes that of x.
void layer_norm_gradient_rows(const float* normal, const float* weight, const float* inverse,
                              std::int64_t rows, std::int64_t width, float* g, Simd simd);

/// The largest of n >= 1 elements. NaNs are passed over, except a NaN in the first place.
float largest(const float* x, std::int64_t n);

}  // namespace ebb
