#include <bit>

#include "quant/kernels/micro.h"

namespace ebb::kernels {
namespace {

#if defined(__FP_FAST_FMAF)
inline float fma_of(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
/// fma in float32 without the instruction: the product is exact in double; the sum is rounded to odd (an inexact sum with an even
/// last bit moves to its odd neighbour on the side of the error), so that the final rounding to float sees on which side of a tie
/// it lies.
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

void float_multiply(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b, std::int64_t b_panel, std::int64_t k,
                    int rows, int panels, float* c, std::int64_t ldc) {
  for (int p = 0; p < panels; ++p) {
    const float* const panel = b + p * b_panel;
    for (int i = 0; i < rows; ++i) {
      float* const sum = c + i * ldc + 16 * p;
      for (std::int64_t s = 0; s < k; ++s) {
        const float all = a[i * a_row + s * a_k];
        for (std::int64_t j = 0; j < kPanel; ++j) sum[j] = fma_of(all, panel[16 * s + j], sum[j]);
      }
    }
  }
}

constexpr FloatMicro kFloat{{0, 8, 8, 8, 8}, float_multiply};

}  // namespace

const FloatMicro& float_portable() { return kFloat; }

}  // namespace ebb::kernels
