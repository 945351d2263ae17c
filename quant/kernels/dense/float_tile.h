#pragma once

#include <cstdint>

/// The innermost loops of float32 products. Only plain pointers and numbers cross this line, see
/// core/kernels/lanes.h.
namespace ebb::kernels {

/// Columns of a packed panel of b.
inline constexpr std::int64_t kPanel = 16;
/// Panels that one call may cover.
inline constexpr int kMaxPanels = 4;

/// One line of a float32 convolution's outputs. Position x, tap (ky, kx), channel c: pixels[ky *
/// line + (x * step + kx) * pixel + c] meets, for panel p, the 16 floats at weights + (((p * taps_y
/// + ky) * taps_x + kx) * pixel + c) * 16; out[x * out_stride + j] is their chain in this order.
struct FloatLine {
  const float* pixels;
  std::int64_t pixel, line, step;
  const float* weights;
  std::int64_t taps_y, taps_x;
  std::int64_t positions, n;
  float* out;
  std::int64_t out_stride;
};

/// Positions (image, y, x) of a weights' gradient: row i of a is pixels[image * image + y * line +
/// x * position + i], and panel p of b the next 16 floats from gradient + p * panel on.
struct FloatPositions {
  const float* pixels;
  std::int64_t position, line, image;  ///< floats from one to the next
  const float* gradient;
  std::int64_t row, panel;
  std::int64_t width, height, images;
};

struct FloatKernels {
  int rows[kMaxPanels + 1];  ///< that a call should have for so many panels
  /// Whether `multiply` fetches a in time where neighbours in k lie far apart (a_k is not 1).
  bool fetches;
  /// a: element (i, k) at a[i * a_row + k * a_k]. b: panel p, row k is 16 floats at b + p * b_panel
  /// + 16 k. Continues the chains in c: c[i * ldc + 16 p + j] = fma(a(i, k), b(k, j), c) for
  /// ascending k.
  void (*multiply)(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
                   std::int64_t b_panel, std::int64_t k, int rows, int panels, float* c,
                   std::int64_t ldc);

  static const FloatKernels portable, avx2, avx512;
};

struct FloatConvKernels {
  /// Returns whether an output is -0.
  bool (*line)(const FloatLine& line);
  /// Continues the chains in c of `rows` rows, a multiple of 4, over all positions in ascending
  /// order.
  void (*add_positions)(const FloatPositions& positions, std::int64_t rows, std::int64_t panels,
                        float* c, std::int64_t ldc);

  static const FloatConvKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
