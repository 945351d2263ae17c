#pragma once

#include <cstdint>

#include "quant/kernels/epilogue/affine.h"

/// The innermost loops of products of integer codes, one set per instruction set. As in encode.h
/// only plain pointers and numbers cross this line.
///
/// Codes that follow each other in k form a group of 4 bytes: four int8 or two int16. b comes in
/// panels of 16 columns, a group of a panel being the 64 bytes [16 columns][one group].
namespace ebb::kernels {

/// Panels that one call may cover, and rows at the most for any number of panels.
inline constexpr int kTilePanels = 4;
inline constexpr int kTileRows = 16;

/// Rows of a: group g of row i at data + i * row + g * group bytes.
struct TileLeft {
  const std::int8_t* data;
  std::int64_t row, group;
};
/// Panels of b: group g of panel p at data + p * panel + 64 g bytes.
struct TileRight {
  const std::uint8_t* data;
  std::int64_t panel, groups;
};
/// How sums become results, see affine.h: scale_ab and zero_b of row i begin at i * stride, which
/// is 0 unless rows have grids of their own. A bias is added in float32 if there is one.
struct TileTarget {
  const double *scale_ab, *zero_b;
  std::int64_t stride;
  const double* const* constant;
  const std::int32_t* sums;  ///< of each row's codes
  float* out;
  std::int64_t ld;
  const float* bias = nullptr;
};

/// The codes of a convolution: position x, tap (ky, kx), group g of the pixel at pixels + ky * line
/// + (x * step + kx) * pixel + 4 g bytes, and panels of weights `panel` bytes apart.
struct ConvCodes {
  const std::int8_t* pixels;
  std::int64_t pixel, line;
  const std::uint8_t* weights;
  std::int64_t panel, groups;
};

/// Lines of a convolution's outputs, `positions` each; output line y reads the taps from line y *
/// step_y on. All that is indexed by column is long enough for whole panels.
///
/// So that sums stay within an int32, the groups of a pixel are cut into slices of `slice` groups
/// and, where that is not enough, the weights' codes into a high and a low part: code = 2^8 high +
/// low. A run is one slice of one part under all taps. Its weights are, for panel p, the bytes
/// [ky][kx][groups of the slice][16 columns][group] at weights + p * panel + (part * groups +
/// first) * taps_y * taps_x * 64, `first` being the slice's first group.
struct ConvLines {
  ConvCodes codes;
  std::int64_t step_y, step_x, taps_y, taps_x;
  std::int64_t slice;
  int parts;
  std::int64_t lines, positions, n;
  int wrap_bits;           ///< 0: exact
  TileTarget to;           ///< its rows are the positions, line by line
  std::int64_t out_line;   ///< floats from line to line of the results
  std::int64_t sums_line;  ///< numbers from line to line of to.sums
};

namespace {  // for files that are compiled for one instruction set

/// Where the results from position x of line y on go.
inline TileTarget target_of(const ConvLines& l, std::int64_t y, std::int64_t x) {
  const std::int64_t row = y * l.positions + x;
  return {l.to.scale_ab + row * l.to.stride,
          l.to.zero_b + row * l.to.stride,
          l.to.stride,
          l.to.constant + row,
          l.to.sums + y * l.sums_line + x,
          l.to.out + y * l.out_line + x * l.to.ld,
          l.to.ld};
}

}  // namespace

/// A line of pixels whose positions are to be interleaved, as many as make a group of 4 bytes:
/// channel c of position i, at pixels + i * stride bytes, becomes part of the group at out + i / n
/// * group + c / 16 * panel + c % 16 * 4, xored with `flip`. Positions that fill up the last group
/// are zeros before that. 64 bytes from each pixel's last channels on can be read. The codes' sums
/// are added to sums[c].
struct GroupedLine {
  const std::int8_t* pixels;
  std::int64_t stride, positions, channels;
  std::uint8_t flip;
  std::uint8_t* out;
  std::int64_t group, panel;
  std::int32_t* sums;
};

/// Products of interleaved lines, in segments of equally many groups: group g of segment s is, for
/// row i of a, at a + s * segment + g * group + 4 i, and for panel p of b at b + p * panel + (s *
/// groups + g) * 64. Rows are a multiple of 4. Sums over `run` groups fit an int32; times 2^shift
/// they are added to c[i * ldc + 16 p + j].
struct SegmentProducts {
  const std::int8_t* a;
  std::int64_t group, segment;
  const std::uint8_t* b;
  std::int64_t panel;
  std::int64_t groups, segments, rows, panels;
  std::int64_t run;
  int shift;
  std::int64_t* c;
  std::int64_t ldc;
};

struct TileMicrokernel {
  /// Rows that a call should have for 1 .. 4 panels; fewer are allowed.
  int rows[kTilePanels + 1];
  int code_bytes;     ///< 1 or 2
  std::uint8_t bias;  ///< 0x80 where b holds code + 128 as unsigned bytes; else 0

  /// Adds the sum over all groups, in int32 that must not overflow, times 2^shift to c[i * ldc + 16
  /// p + j]. Where b is biased the sum is that of a (b + 128).
  void (*accumulate)(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels,
                     int shift, std::int64_t* c, std::int64_t ldc);
  /// Writes the sums as results, free of the bias: columns col .. col + cols of every row. With
  /// wrap_bits in 1 .. 31 the sums are taken modulo 2^wrap_bits; returns how often they went round.
  std::uint64_t (*product)(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels,
                           const TileTarget& to, std::int64_t col, std::int64_t cols,
                           int wrap_bits);
  /// Sums of k codes of each row, in int32.
  void (*sum_rows)(const TileLeft& a, std::int64_t rows, std::int64_t k, std::int32_t* out);
  /// Packs a matrix whose k rows lie ld bytes apart: column j of group g goes to out + g * group +
  /// (j / 16) * panel + 4 (j % 16). Missing rows of the last group become zeros. Reads and writes
  /// whole runs of 16 columns. Bytes are xored with `flip`.
  void (*interleave)(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
                     std::uint8_t flip, std::uint8_t* out, std::int64_t group, std::int64_t panel);
  /// Packs one panel of a matrix whose columns lie ld bytes apart, each k codes long; columns
  /// beyond the last are anything.
  void (*transpose)(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
                    std::uint8_t flip, std::uint8_t* out);
  void (*coefficients)(const RowCoefficients& row);

  /// For convolutions, where they are faster than many calls of the above; else null. `conv_lines`
  /// returns how often sums went round.
  std::uint64_t (*conv_lines)(const ConvLines& lines) = nullptr;
  void (*interleave_line)(const GroupedLine& line) = nullptr;
  void (*add_products)(const SegmentProducts& products) = nullptr;

  static const TileMicrokernel portable, avx2;  ///< of int16
  static const TileMicrokernel kInt8Avx512, kInt16Avx512;
};

std::uint64_t conv_lines_int8_avx512(const ConvLines& lines);
std::uint64_t conv_lines_int16_avx512(const ConvLines& lines);
void interleave_line_int8_avx512(const GroupedLine& line);
void interleave_line_int16_avx512(const GroupedLine& line);
void add_products_int8_avx512(const SegmentProducts& products);
void add_products_int16_avx512(const SegmentProducts& products);

}  // namespace ebb::kernels
