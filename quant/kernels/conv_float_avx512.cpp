#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/micro.h"

// Float32 convolutions. A tile holds its outputs' chains in registers: over all taps for the lines
// of forward and grad_input, over a chunk of positions for grad_weight.
namespace ebb::kernels {
namespace {

struct Tile {
  const float* weights;  ///< of the first panel
  std::int64_t x, col;   ///< first position and column
};

/// Returns whether an output is -0.
template <int kRows, int kPanels>
bool line_tile(const FloatLine& l, const Tile& t) {
  constexpr int kPointers = (kRows + 3) / 4;
  __m512 sum[std::size_t{kRows}][std::size_t{kPanels}];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      sum[r][p] = _mm512_setzero_ps();
      __builtin_prefetch(l.out + (t.x + r) * l.out_stride + t.col + 16 * p,
                         1);  // to be in cache when it is written
    }
  }
  const std::int64_t hop = l.step * l.pixel, run = l.taps_x * l.pixel,
                     panel_floats = l.taps_y * run * 16;
  const float* from = t.weights;
  for (std::int64_t ky = 0; ky < l.taps_y; ++ky) {
    // Four positions to a pointer: their addresses fit x86's base + index * scale.
    const float* at[std::size_t{kPointers}];
#pragma GCC unroll 4
    for (int i = 0; i < kPointers; ++i) at[i] = l.pixels + (t.x + 4 * i) * hop + ky * l.line;
    for (std::int64_t k = 0; k < run; ++k, from += 16) {
      __m512 right[std::size_t{kPanels}];
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) right[p] = _mm512_loadu_ps(from + p * panel_floats);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const __m512 all = _mm512_set1_ps(at[r / 4][(r % 4) * hop]);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_fmadd_ps(all, right[p], sum[r][p]);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kPointers; ++i) ++at[i];
    }
  }
  const __m512i negative_zero = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  int found = 0;
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const std::int64_t col = t.col + 16 * p, left = l.n - col;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      _mm512_mask_storeu_ps(l.out + (t.x + r) * l.out_stride + col, mask, sum[r][p]);
      found |= _mm512_mask_cmpeq_epi32_mask(mask, _mm512_castps_si512(sum[r][p]), negative_zero);
    }
  }
  return found != 0;
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

/// Rows of a lie one float apart.
template <int kRows, int kPanels>
void chunk_tile(const FloatPositions& l, const float* pixels, const float* from, float* c,
                std::int64_t ldc) {
  __m512 sum[std::size_t{kRows}][std::size_t{kPanels}];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sum[i][p] = _mm512_loadu_ps(c + i * ldc + 16 * p);
  }
  for (std::int64_t image = 0; image < l.images; ++image) {
    for (std::int64_t y = 0; y < l.height; ++y) {
      const float* at = pixels + image * l.image + y * l.line;
      for (std::int64_t x = 0; x < l.width; ++x, from += l.row, at += l.position) {
        __m512 right[std::size_t{kPanels}];
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) right[p] = _mm512_loadu_ps(from + p * l.panel);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          const __m512 all = _mm512_set1_ps(at[i]);
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) sum[i][p] = _mm512_fmadd_ps(all, right[p], sum[i][p]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) _mm512_storeu_ps(c + i * ldc + 16 * p, sum[i][p]);
  }
}

/// The largest tiles first, then smaller ones for the rows that are left.
template <int kRows, int kPanels>
void rows_of(const FloatPositions& l, const float* pixels, const float* gradient, std::int64_t rows,
             float* c, std::int64_t ldc) {
  std::int64_t i = 0;
  for (; i + kRows <= rows; i += kRows)
    chunk_tile<kRows, kPanels>(l, pixels + i, gradient, c + i * ldc, ldc);
  if constexpr (kRows > 4) {
    if (i < rows) rows_of<kRows - 4, kPanels>(l, pixels + i, gradient, rows - i, c + i * ldc, ldc);
  }
}

}  // namespace

bool float_line_avx512(const FloatLine& l) {
  const std::int64_t panel_floats = l.taps_y * l.taps_x * l.pixel * 16;
  Tile t{l.weights, 0, 0};
  bool found = false;
  for (; t.col + 16 < l.n; t.col += 32, t.weights += 2 * panel_floats)
    found |= positions_of<8, 2>(l, t);
  if (t.col < l.n) found |= positions_of<16, 1>(l, t);
  return found;
}

void add_positions_avx512(const FloatPositions& l, std::int64_t rows, std::int64_t panels, float* c,
                          std::int64_t ldc) {
  for (std::int64_t p = 0; p < panels; p += 2) {
    const float* const gradient = l.gradient + p * l.panel;
    p + 1 < panels ? rows_of<12, 2>(l, l.pixels, gradient, rows, c + 16 * p, ldc)
                   : rows_of<16, 1>(l, l.pixels, gradient, rows, c + 16 * p, ldc);
  }
}

}  // namespace ebb::kernels
