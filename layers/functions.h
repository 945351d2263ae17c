#pragma once

#include <cstdint>

#include "core/simd.h"

namespace ebb {

/// Elementary functions over arrays of float32, with the same bits for every instruction set (docs/NUMERICS.md). x and out may be
/// the same. NaN stays NaN.

/// e^d of d = x - shift, rounded to float32, within 2 units of 2^-24 relative; 0 for d below -86.9, infinity from 88.73.
void exp_rows(const float* x, std::int64_t n, float shift, float* out, Simd simd);
/// math::exp(x - shift).
void exp_rows(const float* x, std::int64_t n, double shift, double* out, Simd simd);
/// 1 / (1 + e^-x).
void sigmoid_rows(const float* x, std::int64_t n, float* out, Simd simd);
void tanh_rows(const float* x, std::int64_t n, float* out, Simd simd);

}  // namespace ebb
