#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/dot_avx512.h"
#include "quant/kernels/tile.h"

// Lines of convolutions. A tile holds its positions' sums in registers from the first tap to the scaled result; where they could
// leave an int32 it does so run by run, and the runs' sums meet in 64 bits in the first level of the cache. Where neighbouring
// positions share pixels (step 1) a broadcast group of codes serves all three taps of a kernel's row at once.
namespace ebb::kernels {
namespace {

struct Tile {
  const std::int8_t* pixels;    ///< first tap of the first position
  const std::uint8_t* weights;  ///< of the first panel
  std::int64_t x, col;          ///< first position and column
};

__mmask16 columns_left(const ConvLine& l, std::int64_t col) {
  return static_cast<__mmask16>(l.n - col >= 16 ? 0xffff : (1 << (l.n - col)) - 1);
}

/// Scales and stores 16 sums of position x.
inline void put(const ConvLine& l, std::int64_t x, std::int64_t col, __mmask16 mask, __m512d low, __m512d high) {
  const __m512d a = _mm512_set1_pd(static_cast<double>(l.sums[x]));
  const auto load = [](const double* at) { return _mm512_loadu_pd(at); };
  const double *const alpha = l.alpha + col, *const beta = l.beta + col, *const gamma = l.gamma[x] + col;
  const __m256 first = scaled(low, a, load(alpha), load(beta), load(gamma));
  const __m256 second = scaled(high, a, load(alpha + 8), load(beta + 8), load(gamma + 8));
  _mm512_mask_storeu_ps(l.out + x * l.out_stride + col, mask, _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1));
}

template <class Dot, bool kWraps, int kRows, int kPanels>
std::uint64_t finish(const ConvLine& l, const Tile& t, const __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}]) {
  __m512i events = _mm512_setzero_si512();
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const std::int64_t col = t.col + 16 * p;
    const __mmask16 mask = columns_left(l, col);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      __m512i s = _mm512_sub_epi32(sum[r][p], _mm512_set1_epi32(Dot::kBias * l.sums[t.x + r]));
      if (kWraps) s = wrapped(s, l.wrap_bits, mask, events);
      put(l, t.x + r, col, mask, _mm512_cvtepi32_pd(_mm512_castsi512_si256(s)),
          _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(s, 1)));
    }
  }
  return kWraps ? static_cast<std::uint64_t>(_mm512_reduce_add_epi64(events)) : 0;
}

/// The same from sums of 64 bits, [panels][rows][16].
std::uint64_t finish_wide(const ConvLine& l, const Tile& t, std::int32_t bias, int rows, int panels, const std::int64_t* sums) {
  __m512i events = _mm512_setzero_si512();
  for (int p = 0; p < panels; ++p) {
    const std::int64_t col = t.col + 16 * p;
    const __mmask16 mask = columns_left(l, col);
    for (int r = 0; r < rows; ++r, sums += 16) {
      const __m512i biased = _mm512_set1_epi64(std::int64_t{bias} * l.sums[t.x + r]);
      __m512i low = _mm512_sub_epi64(_mm512_loadu_si512(sums), biased);
      __m512i high = _mm512_sub_epi64(_mm512_loadu_si512(sums + 8), biased);
      if (l.wrap_bits > 0) {
        low = wrapped_wide(low, l.wrap_bits, static_cast<__mmask8>(mask), events);
        high = wrapped_wide(high, l.wrap_bits, static_cast<__mmask8>(mask >> 8), events);
      }
      put(l, t.x + r, col, mask, _mm512_cvtepi64_pd(low), _mm512_cvtepi64_pd(high));
    }
  }
  return l.wrap_bits > 0 ? static_cast<std::uint64_t>(_mm512_reduce_add_epi64(events)) : 0;
}

/// Sums `groups` groups of every pixel under all taps, kTaps neighbouring taps of a row at a time; more than one only at step 1.
template <class Dot, int kTaps, int kRows, int kPanels>
[[gnu::always_inline]] inline void grow(const ConvLine& l, const std::int8_t* pixels, const std::uint8_t* from, std::int64_t groups,
                                        __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}]) {
  constexpr int kPixels = kRows + kTaps - 1, kPointers = (kPixels + 3) / 4;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_si512();
  }
  const std::int64_t hop = l.step * l.pixel, tap_bytes = 64 * groups, panel_bytes = l.panel;
  for (std::int64_t ky = 0; ky < l.taps_y; ++ky) {
    for (std::int64_t kx = 0; kx < l.taps_x; kx += kTaps, from += (kTaps - 1) * tap_bytes) {
      // Four pixels to a pointer: their addresses fit x86's base + index * scale.
      const std::int8_t* at[std::size_t{kPointers}];
#pragma GCC unroll 5
      for (int i = 0; i < kPointers; ++i) at[i] = pixels + ky * l.line + kx * l.pixel + 4 * i * hop;
      for (std::int64_t g = 0; g < groups; ++g, from += 64) {
        __m512i right[std::size_t{kTaps}][std::size_t{kPanels}];
#pragma GCC unroll 3
        for (int k = 0; k < kTaps; ++k) {
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) right[k][p] = _mm512_loadu_si512(from + k * tap_bytes + p * panel_bytes);
        }
#pragma GCC unroll 18
        for (int i = 0; i < kPixels; ++i) {
          std::int32_t group;
          __builtin_memcpy(&group, at[i / 4] + (i % 4) * hop, 4);
          const __m512i all = _mm512_set1_epi32(group);
#pragma GCC unroll 3
          for (int k = 0; k < kTaps; ++k) {
            const int r = i - k;
            if (r < 0 || r >= kRows) continue;
#pragma GCC unroll 2
            for (int p = 0; p < kPanels; ++p) sum[r][p] = Dot::add(sum[r][p], right[k][p], all);
          }
        }
#pragma GCC unroll 5
        for (int i = 0; i < kPointers; ++i) at[i] += 4;
      }
    }
  }
}

template <class Dot, bool kWide, int kTaps, int kRows, int kPanels>
std::uint64_t tile(const ConvLine& l, const Tile& t) {
  __m512i sum[std::size_t{kRows}][std::size_t{kPanels}];
  if constexpr (!kWide) {
    grow<Dot, kTaps, kRows, kPanels>(l, t.pixels, t.weights, l.groups, sum);
    const bool wraps = l.wrap_bits > 0 && l.wrap_bits < 32;
    return wraps ? finish<Dot, true, kRows, kPanels>(l, t, sum) : finish<Dot, false, kRows, kPanels>(l, t, sum);
  } else {
    constexpr int kSums = kRows * kPanels * 16;
    alignas(64) std::int32_t narrow[std::size_t{kSums}];
    alignas(64) std::int64_t wide[std::size_t{kSums}];
    __builtin_memset(wide, 0, sizeof wide);
    for (int part = 0; part < l.parts; ++part) {
      for (std::int64_t g = 0; g < l.groups; g += l.slice) {
        const std::int64_t groups = l.groups - g < l.slice ? l.groups - g : l.slice;
        grow<Dot, kTaps, kRows, kPanels>(l, t.pixels + 4 * g, t.weights + (part * l.groups + g) * l.taps_y * l.taps_x * 64, groups,
                                         sum);
        // By way of memory: with 64-bit sums in sight, compilers run out of registers in the loop before.
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
          for (int r = 0; r < kRows; ++r) _mm512_store_si512(narrow + 16 * (p * kRows + r), sum[r][p]);
        }
        add_shifted(narrow, kSums, part + 1 < l.parts ? 8 : 0, wide);
      }
    }
    return finish_wide(l, t, Dot::kBias, kRows, kPanels, wide);
  }
}

/// The largest tiles first, then halves for the positions that are left.
template <class Dot, bool kWide, int kTaps, int kRows, int kPanels>
std::uint64_t positions(const ConvLine& l, Tile t) {
  std::uint64_t events = 0;
  for (; t.x + kRows <= l.positions; t.x += kRows, t.pixels += kRows * l.step * l.pixel)
    events += tile<Dot, kWide, kTaps, kRows, kPanels>(l, t);
  if constexpr (kRows > 1) {
    if (t.x < l.positions) events += positions<Dot, kWide, kTaps, kRows / 2, kPanels>(l, t);
  }
  return events;
}

template <class Dot, bool kWide, int kTaps>
std::uint64_t panels(const ConvLine& l) {
  std::uint64_t events = 0;
  Tile t{l.pixels, l.weights, 0, 0};
  for (; t.col + 16 < l.n; t.col += 32, t.weights += 2 * l.panel) events += positions<Dot, kWide, kTaps, 8, 2>(l, t);
  if (t.col < l.n) events += positions<Dot, kWide, kTaps, 16, 1>(l, t);
  return events;
}

template <class Dot>
std::uint64_t line_of(const ConvLine& l) {
  const bool threes = l.step == 1 && l.taps_x == 3;
  if (l.parts == 1 && l.slice >= l.groups) return threes ? panels<Dot, false, 3>(l) : panels<Dot, false, 1>(l);
  return threes ? panels<Dot, true, 3>(l) : panels<Dot, true, 1>(l);
}

}  // namespace

std::uint64_t conv_line_int8_avx512(const ConvLine& line) { return line_of<Int8Dot>(line); }
std::uint64_t conv_line_int16_avx512(const ConvLine& line) { return line_of<Int16Dot>(line); }

}  // namespace ebb::kernels
