#pragma once

#include <cstdint>

/// Depthwise convolutions: every channel by itself, channels side by side in vectors. Only plain
/// pointers and numbers cross this line.
///
/// Codes are added up in lanes of float32 where 24 bits hold every sum, in lanes of double (`wide`)
/// elsewhere; both are exact, so the order of additions does not matter. Float32 values make one
/// chain of fma per output.
namespace ebb::kernels {

/// Some output pixels of a depthwise convolution and the source pixels under their taps.
struct DepthwisePiece {
  const void* const* pixels;  ///< [positions, taps]
  const void* zeros;          ///< the pixel that stands for padding
  std::int64_t positions, taps;
};

/// out(p, j) from the sum of pixels(p, t, j) weights(t, j) over t.
struct DepthwiseOutputs {
  DepthwisePiece piece;
  const void* weights;  ///< [taps, stride] in the type of the lanes, zeros beyond the channels
  std::int64_t channels, stride;
  const double *scale_ab, *zero_b;  ///< by channel, see affine.h; codes only
  const double* const* constant;    ///< of each position
  float* out;
  std::int64_t out_stride;
};

/// Adds pixels(p, t, j) gradient(p, j) over p to sums(t, j) of some channels.
struct DepthwiseSums {
  DepthwisePiece piece;
  const void* gradient;
  std::int64_t gradient_stride;
  std::int64_t first, last;  ///< channels
  void* sums;  ///< [taps, stride]: double for codes, float32 for float32; may be written up to the
               ///< stride
  std::int64_t stride;
};

struct DepthwiseKernels {
  using Convolve = void (*)(const DepthwiseOutputs&);
  using Sum = void (*)(const DepthwiseSums&);
  Convolve convolve[2][2];  ///< [pixels are int16][wide]
  Convolve convolve_floats;
  Sum sum[2][2][2];  ///< [pixels are int16][gradients are int16][wide]
  Sum sum_floats;

  static const DepthwiseKernels portable, avx2, avx512;
};
/// Lanes beyond the channels that weights and sums need: their stride is a multiple of this.
inline constexpr std::int64_t kDepthwiseStride = 16;

}  // namespace ebb::kernels
