#pragma once

#include <bit>
#include <cstdint>

namespace ebb::kernels {

#if defined(__FP_FAST_FMAF)
inline float fma_of(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
/// fma in float32 without the instruction: the product is exact in double; the sum is rounded to
/// odd (an inexact sum with an even last bit moves to its odd neighbour on the side of the error),
/// so that the final rounding to float sees on which side of a tie it lies.
inline float fma_of(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = c;
  const double sum = product + addend;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  auto bits = std::bit_cast<std::uint64_t>(sum);
  const bool inexact = error > 0.0 || error < 0.0;  // false for NaN: infinities pass through
  const std::uint64_t away = (error > 0.0) == (sum > 0.0) ? 1 : ~std::uint64_t{0};
  bits += inexact && (bits & 1) == 0 ? away : 0;
  return static_cast<float>(std::bit_cast<double>(bits));
}
#endif

}  // namespace ebb::kernels
