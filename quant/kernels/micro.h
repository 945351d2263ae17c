#pragma once

#include <cstdint>

/// The innermost loops, one set an instruction set. As in encode.h only plain pointers and numbers cross this line.
namespace ebb::kernels {

/// Columns of a packed panel of b.
inline constexpr std::int64_t kPanel = 16;
/// Panels that one call may cover, and rows at the most for any number of panels.
inline constexpr int kMaxPanels = 4;
inline constexpr int kMaxRows = 16;

/// Four consecutive k form a group of 4 bytes; groups come in segments. a: row i, segment s, group g at
/// data + i * row + s * segment + g * group. b: panel p, segment s, group g is the 64 bytes [16 columns][4] at
/// data + p * panel + (s * groups + g) * group. c[i * ldc + 16 p + j] = the sum over all segments and groups, in int32 (no overflow
/// for up to 8192 groups in all).
struct Int8Left {
  const std::int8_t* data;
  std::int64_t row, group, segment;
};
struct Int8Right {
  const std::uint8_t* data;
  std::int64_t panel, group;
  std::int64_t groups, segments;  ///< groups in a segment
};
/// One line of a convolution's outputs. Position x, tap (ky, kx), group g: the 4 codes at pixels + ky * line + (x * step + kx) *
/// pixel + 4 g meet, for panel p, the 64 bytes [16 columns][4] at weights + (((p * taps_y + ky) * taps_x + kx) * groups + g) * 64.
/// All that is indexed by column is long enough for whole panels.
struct ConvLine {
  const std::int8_t* pixels;
  std::int64_t pixel, line, step;
  const std::uint8_t* weights;
  std::int64_t taps_y, taps_x, groups;
  std::int64_t positions, n;
  const std::int32_t* sums;    ///< of the codes under each position's taps
  const double *alpha, *beta;  ///< of each column
  const double* const* gamma;  ///< of each position and column
  int wrap_bits;               ///< 0: exact
  float* out;                  ///< of position x and column j: out[x * out_stride + j]
  std::int64_t out_stride;
};

/// A line of pixels to be interleaved by fours of positions: position i, channel c, at pixels + i * hop + c, becomes byte i % 4 of
/// the four at out + i / 4 * group + 4 c, xored with `flip`; positions that fill up the last group are zeros before that. 16 bytes
/// from each pixel's last channels on can be read. The codes' sums are added to sums[c].
struct GroupedLine {
  const std::int8_t* pixels;
  std::int64_t hop, positions, channels;
  std::uint8_t flip;
  std::uint8_t* out;
  std::int64_t group;
  std::int32_t* sums;
};

struct Int8Micro {
  /// Rows that a call should have for 1 .. 4 panels; fewer are allowed.
  int rows[kMaxPanels + 1];
  /// b holds code + 128 as unsigned bytes, so that c comes out as sum a (b + 128).
  bool biased_b;
  /// Null, like `scale`, where there is a conv_line.
  void (*multiply)(const Int8Left& a, const Int8Right& b, int rows, int panels, std::int32_t* c, std::int64_t ldc);
  /// out[j] = float((alpha[j] * (c[j] - bias) + beta[j] * row_sum) + gamma[j]) in double.
  void (*scale)(const std::int32_t* c, std::int64_t n, std::int32_t bias, const double* alpha, const double* beta, double row_sum,
                const double* gamma, float* out);
  /// Computes a line and returns the overflow events of its narrow accumulator. Null: lines are done tile by tile.
  std::uint64_t (*conv_line)(const ConvLine& line) = nullptr;
  /// sums[i] = the sum of the codes of pixel i, each `pixel` bytes, a multiple of 8 that divides 64. Reads whole vectors. Null:
  /// summed one by one.
  void (*sum_pixels)(const std::int8_t* codes, std::int64_t pixels, std::int64_t pixel, std::int32_t* sums) = nullptr;
  /// For the weights' gradient, where they are faster than what every machine has; else null. `add_products` adds the products of
  /// a, its rows 4 bytes apart and a multiple of 4 in number, and b, its panels 64 bytes apart, to c.
  void (*interleave)(const GroupedLine& line) = nullptr;
  void (*add_products)(const Int8Left& a, const Int8Right& b, std::int64_t rows, std::int64_t panels, std::int32_t* c,
                       std::int64_t ldc) = nullptr;
};

std::uint64_t conv_line_avx512(const ConvLine& line);
void sum_pixels_avx512(const std::int8_t* codes, std::int64_t pixels, std::int64_t pixel, std::int32_t* sums);
void interleave_avx512(const GroupedLine& line);
void add_products_avx512(const Int8Left& a, const Int8Right& b, std::int64_t rows, std::int64_t panels, std::int32_t* c,
                         std::int64_t ldc);

/// One line of a float32 convolution's outputs. Position x, tap (ky, kx), channel c: pixels[ky * line + (x * step + kx) * pixel +
/// c] meets, for panel p, the 16 floats at weights + (((p * taps_y + ky) * taps_x + kx) * pixel + c) * 16; out[x * out_stride + j]
/// is their chain in this order.
struct FloatLine {
  const float* pixels;
  std::int64_t pixel, line, step;
  const float* weights;
  std::int64_t taps_y, taps_x;
  std::int64_t positions, n;
  float* out;
  std::int64_t out_stride;
};

/// Positions (image, y, x) of a weights' gradient: row i of a is pixels[image * image + y * line + x * position + i], and panel p
/// of b the next 16 floats from gradient + p * panel on.
struct FloatPositions {
  const float* pixels;
  std::int64_t position, line, image;  ///< floats from one to the next
  const float* gradient;
  std::int64_t row, panel;
  std::int64_t width, height, images;
};

/// a: element (i, k) at a[i * a_row + k * a_k]. b: panel p, row k is 16 floats at b + p * b_panel + 16 k. Continues the chains in
/// c: c[i * ldc + 16 p + j] = fma(a(i, k), b(k, j), c) for ascending k.
struct FloatMicro {
  int rows[kMaxPanels + 1];
  void (*multiply)(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b, std::int64_t b_panel, std::int64_t k,
                   int rows, int panels, float* c, std::int64_t ldc);
  /// For convolutions, where they are faster than many calls of `multiply`; else null. `conv_line` returns whether an output is -0.
  /// `add_positions` continues the chains in c of `rows` rows, a multiple of 4, over all positions in ascending order.
  bool (*conv_line)(const FloatLine& line) = nullptr;
  void (*add_positions)(const FloatPositions& positions, std::int64_t rows, std::int64_t panels, float* c,
                        std::int64_t ldc) = nullptr;
};

bool float_line_avx512(const FloatLine& line);
void add_positions_avx512(const FloatPositions& positions, std::int64_t rows, std::int64_t panels, float* c, std::int64_t ldc);

const Int8Micro& int8_avx512();
const Int8Micro& int8_avx2();
const FloatMicro& float_avx512();
const FloatMicro& float_avx2();
const FloatMicro& float_portable();

}  // namespace ebb::kernels
