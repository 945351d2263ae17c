#include "core/kernels/lanes.h"
#include "quant/kernels/dense/float_tile.h"

// Float32 convolutions. A tile holds its outputs' chains in registers: over all taps for the lines
// of forward and grad_left, over a chunk of positions for grad_right.
namespace ebb::kernels {
namespace {

constexpr int kVectors = kPanel / kLanes;  ///< of a panel
/// Panels of a tile, and its rows for so many panels and for one, by what registers hold.
constexpr int kTogether = kLanes == 16 ? 2 : 1;
constexpr int kTall = kLanes == 16 ? 8 : kLanes == 8 ? 6 : 2;
constexpr int kTallest = kLanes == 16 ? 16 : kTall;

struct Tile {
  const float* weights;  ///< of the first panel
  std::int64_t x, col;   ///< first position and column
};

/// Where vector v of a tile's columns begins, in a panel of `panel` floats.
constexpr std::int64_t at_vector(int v, std::int64_t panel) {
  return v / kVectors * panel + v % kVectors * kLanes;
}

/// Returns whether an output is -0.
template <int kRows, int kPanels>
bool line_tile(const FloatLine& l, const Tile& t) {
  constexpr int kPointers = (kRows + 3) / 4, kAcross = kPanels * kVectors;
  Full::Float sum[std::size_t{kRows}][std::size_t{kAcross}] = {};
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p)
      __builtin_prefetch(l.out + (t.x + r) * l.out_stride + t.col + 16 * p,
                         1);  // to be in cache when it is written
  }
  const std::int64_t stride = l.step * l.pixel, run = l.taps_x * l.pixel,
                     panel_floats = l.taps_y * run * kPanel;
  const float* from = t.weights;
  for (std::int64_t ky = 0; ky < l.taps_y; ++ky) {
    // Four positions to a pointer: their addresses fit x86's base + index * scale.
    const float* at[std::size_t{kPointers}];
#pragma GCC unroll 4
    for (int i = 0; i < kPointers; ++i) at[i] = l.pixels + (t.x + 4 * i) * stride + ky * l.line;
    for (std::int64_t k = 0; k < run; ++k, from += kPanel) {
      Full::Float right[std::size_t{kAcross}];
#pragma GCC unroll 4
      for (int v = 0; v < kAcross; ++v) right[v] = load<Full>(from + at_vector(v, panel_floats));
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto all = broadcast<Full::Float>(at[r / 4][(r % 4) * stride]);
#pragma GCC unroll 4
        for (int v = 0; v < kAcross; ++v) add_product(all, right[v], sum[r][v]);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kPointers; ++i) ++at[i];
    }
  }
  Full::Int negative_zeros{};  // of columns beyond the last, whose weights are zeros, none can be
#pragma GCC unroll 4
  for (int v = 0; v < kAcross; ++v) {
    const std::int64_t col = t.col + kLanes * v;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      store_first(l.out + (t.x + r) * l.out_stride + col, sum[r][v], l.n - col);
      negative_zeros |= reinterpret_cast<Full::Bits>(sum[r][v]) == 0x80000000u;
    }
  }
  bool found = false;
  for (int lane = 0; lane < kLanes; ++lane) found |= negative_zeros[lane] != 0;
  return found;
}

/// The largest tiles first, then halves for the positions that are left.
template <int kRows, int kPanels>
bool positions_of(const FloatLine& l, Tile t) {
  bool found = false;
  for (; t.x + kRows <= l.positions; t.x += kRows) found |= line_tile<kRows, kPanels>(l, t);
  if constexpr (kRows > 1) {
    if (t.x < l.positions) found |= positions_of<kRows / 2, kPanels>(l, t);
  }
  return found;
}

bool line(const FloatLine& l) {
  const std::int64_t panel_floats = l.taps_y * l.taps_x * l.pixel * kPanel;
  Tile t{l.weights, 0, 0};
  bool found = false;
  for (; t.col + kPanel * (kTogether - 1) < l.n;
       t.col += kPanel * kTogether, t.weights += kTogether * panel_floats)
    found |= positions_of<kTall, kTogether>(l, t);
  if (t.col < l.n) found |= positions_of<kTallest, 1>(l, t);
  return found;
}

/// Rows of a lie one float apart.
template <int kRows, int kPanels>
void chunk_tile(const FloatPositions& l, const float* pixels, const float* from, float* c,
                std::int64_t ldc) {
  constexpr int kAcross = kPanels * kVectors;
  Full::Float sum[std::size_t{kRows}][std::size_t{kAcross}];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kAcross; ++v) sum[i][v] = load<Full>(c + i * ldc + kLanes * v);
  }
  for (std::int64_t image = 0; image < l.images; ++image) {
    for (std::int64_t y = 0; y < l.height; ++y) {
      const float* at = pixels + image * l.image + y * l.line;
      for (std::int64_t x = 0; x < l.width; ++x, from += l.row, at += l.position) {
        Full::Float right[std::size_t{kAcross}];
#pragma GCC unroll 4
        for (int v = 0; v < kAcross; ++v) right[v] = load<Full>(from + at_vector(v, l.panel));
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          const auto all = broadcast<Full::Float>(at[i]);
#pragma GCC unroll 4
          for (int v = 0; v < kAcross; ++v) add_product(all, right[v], sum[i][v]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kAcross; ++v) store(c + i * ldc + kLanes * v, sum[i][v]);
  }
}

/// The largest tiles first, then smaller ones for the rows that are left.
template <int kRows, int kPanels>
void rows_of(const FloatPositions& l, const float* pixels, const float* gradient, std::int64_t rows,
             float* c, std::int64_t ldc) {
  std::int64_t i = 0;
  for (; i + kRows <= rows; i += kRows)
    chunk_tile<kRows, kPanels>(l, pixels + i, gradient, c + i * ldc, ldc);
  if constexpr (kRows > 2) {
    constexpr int kLess = kRows > 4 ? (kRows - 1) / 4 * 4 : 2;
    if (i < rows) rows_of<kLess, kPanels>(l, pixels + i, gradient, rows - i, c + i * ldc, ldc);
  }
}

void add_positions(const FloatPositions& l, std::int64_t rows, std::int64_t panels, float* c,
                   std::int64_t ldc) {
  constexpr int kTwo = kLanes == 16 ? 12 : kTall;
  for (std::int64_t p = 0; p < panels; p += kTogether) {
    const float* const gradient = l.gradient + p * l.panel;
    p + kTogether <= panels
        ? rows_of<kTwo, kTogether>(l, l.pixels, gradient, rows, c + kPanel * p, ldc)
        : rows_of<kTallest, 1>(l, l.pixels, gradient, rows, c + kPanel * p, ldc);
  }
}

constexpr FloatConvKernels kConv{line, add_positions};

}  // namespace

constinit const FloatConvKernels FloatConvKernels::EBB_TARGET = kConv;

}  // namespace ebb::kernels
