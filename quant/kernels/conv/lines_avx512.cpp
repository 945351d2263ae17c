#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/dense/pending_avx512.h"
#include "quant/kernels/dense/tile.h"

// Lines of convolutions. A tile holds its positions' sums in registers over all taps, and they are
// scaled while the next tile grows; where they could leave an int32 it does so run by run, and the
// runs' sums meet in 64 bits in the first level of the cache. Where neighbouring positions share
// pixels (step 1) a broadcast group of codes serves all three taps of a kernel's row at once.
namespace ebb::kernels {
namespace {

struct Tile {
  std::int64_t y, x, col;  ///< line, first position and first column
};
/// How sums become whole: at once, or run by run.
enum class Sums { narrow, wide };

/// Scales and stores 16 sums of row r; images have one grid, hence no `stride`.
inline void put(const TileTarget& to, std::int64_t r, std::int64_t col, __mmask16 mask, __m512d low,
                __m512d high) {
  const __m512d a = _mm512_set1_pd(static_cast<double>(to.sums[r]));
  const auto load = [](const double* at) { return _mm512_loadu_pd(at); };
  const double *const scale_ab = to.scale_ab + col, *const zero_b = to.zero_b + col,
                      *const constant = to.constant[r] + col;
  const __m256 first = scaled(low, a, load(scale_ab), load(zero_b), load(constant));
  const __m256 second = scaled(high, a, load(scale_ab + 8), load(zero_b + 8), load(constant + 8));
  _mm512_mask_storeu_ps(to.out + r * to.ld + col, mask,
                        _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1));
}

__mmask16 columns_left(const ConvLines& l, std::int64_t col) {
  return static_cast<__mmask16>(l.n - col >= 16 ? 0xffff : (1 << (l.n - col)) - 1);
}

/// Scales and stores a tile's sums of 64 bits, [panels][rows][16].
std::uint64_t finish_wide(const ConvLines& l, const Tile& t, std::int32_t bias, int rows,
                          int panels, const std::int64_t* sums) {
  const TileTarget to = target_of(l, t.y, t.x);
  __m512i events = _mm512_setzero_si512();
  for (int p = 0; p < panels; ++p) {
    const std::int64_t col = t.col + 16 * p;
    const __mmask16 mask = columns_left(l, col);
    for (int r = 0; r < rows; ++r, sums += 16) {
      const __m512i biased = _mm512_set1_epi64(std::int64_t{bias} * to.sums[r]);
      __m512i low = _mm512_sub_epi64(_mm512_loadu_si512(sums), biased);
      __m512i high = _mm512_sub_epi64(_mm512_loadu_si512(sums + 8), biased);
      if (l.wrap_bits > 0) {
        low = wrapped_wide(low, l.wrap_bits, static_cast<__mmask8>(mask), events);
        high = wrapped_wide(high, l.wrap_bits, static_cast<__mmask8>(mask >> 8), events);
      }
      put(to, r, col, mask, _mm512_cvtepi64_pd(low), _mm512_cvtepi64_pd(high));
    }
  }
  return l.wrap_bits > 0 ? static_cast<std::uint64_t>(_mm512_reduce_add_epi64(events)) : 0;
}

/// Sums `groups` groups of every pixel, the weights' being those from group `first` on, under all
/// taps, kTaps neighbouring taps of a row at a time; more than one only at step 1. Between groups
/// of codes there may be other `work`.
template <class Dot, int kTaps, int kRows, int kPanels, class Work>
[[gnu::always_inline]] inline void grow(const ConvLines& l, const ConvCodes& codes, const Tile& t,
                                        std::int64_t first, std::int64_t groups,
                                        __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}],
                                        const Work& work) {
  constexpr int kPixels = kRows + kTaps - 1, kPointers = (kPixels + 3) / 4;
  const std::int64_t stride = l.step_x * codes.pixel, tap_bytes = 64 * groups,
                     panel_bytes = codes.panel;
  const std::int8_t* const pixels =
      codes.pixels + t.y * l.step_y * codes.line + t.x * stride + first % codes.groups * 4;
  const std::uint8_t* from =
      codes.weights + t.col / 16 * panel_bytes + first * l.taps_y * l.taps_x * 64;
  for (std::int64_t ky = 0; ky < l.taps_y; ++ky) {
    for (std::int64_t kx = 0; kx < l.taps_x; kx += kTaps, from += (kTaps - 1) * tap_bytes) {
      // Four pixels to a pointer: their addresses fit x86's base + index * scale.
      const std::int8_t* at[std::size_t{kPointers}];
#pragma GCC unroll 5
      for (int i = 0; i < kPointers; ++i)
        at[i] = pixels + ky * codes.line + kx * codes.pixel + 4 * i * stride;
      for (std::int64_t g = 0; g < groups; ++g, from += 64) {
        work();
        __m512i right[std::size_t{kTaps}][std::size_t{kPanels}];
#pragma GCC unroll 3
        for (int k = 0; k < kTaps; ++k) {
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p)
            right[k][p] = _mm512_loadu_si512(from + k * tap_bytes + p * panel_bytes);
        }
#pragma GCC unroll 18
        for (int i = 0; i < kPixels; ++i) {
          std::int32_t group;
          __builtin_memcpy(&group, at[i / 4] + (i % 4) * stride, 4);
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

/// Every sum of row r begins at `factor` times row_sums[r].
template <int kRows, int kPanels>
[[gnu::always_inline]] inline void begin(__m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}],
                                         std::int32_t factor = 0,
                                         const std::int32_t* row_sums = nullptr) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p)
      sum[r][p] = factor == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(factor * row_sums[r]);
  }
}

/// By way of memory: with wider sums in sight, compilers run out of registers in the loop before.
template <int kRows, int kPanels>
[[gnu::always_inline]] inline void store(
    const __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}], std::int32_t* to) {
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) _mm512_store_si512(to + 16 * (p * kRows + r), sum[r][p]);
  }
}

template <class Dot, Sums kSums, int kTaps, int kRows, int kPanels>
[[gnu::noinline]] std::uint64_t tile(const ConvLines& l, const Tile& t, Pending& pending) {
  __m512i sum[std::size_t{kRows}][std::size_t{kPanels}];
  const TileTarget to = target_of(l, t.y, t.x);
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t p = 0; p < kPanels; ++p)
      __builtin_prefetch(to.out + r * to.ld + t.col + 16 * p, 1);
  }
  if constexpr (kSums == Sums::narrow) {
    begin<kRows, kPanels>(sum, -Dot::kBias,
                          to.sums);  // the opposite of what the bias of the weights' codes will add
    grow<Dot, kTaps, kRows, kPanels>(
        l, l.codes, t, 0, l.codes.groups, sum, [&]() __attribute__((always_inline)) {
          if (pending.any()) pending.scale<kPanels>();
        });
    pending.take<kRows, kPanels>(sum, to, t.col, l.n - t.col);
    return 0;
  } else {
    constexpr std::size_t kCount = kRows * kPanels * 16;
    alignas(64) std::int32_t narrow[kCount];
    alignas(64) std::int64_t wide[kCount] = {};
    for (int part = 0; part < l.parts; ++part) {
      for (std::int64_t g = 0; g < l.codes.groups; g += l.slice) {
        const std::int64_t groups = l.codes.groups - g < l.slice ? l.codes.groups - g : l.slice;
        begin<kRows, kPanels>(sum);
        grow<Dot, kTaps, kRows, kPanels>(l, l.codes, t, part * l.codes.groups + g, groups, sum,
                                         [] {});
        store<kRows, kPanels>(sum, narrow);
        add_shifted(narrow, kCount, part + 1 < l.parts ? 8 : 0, wide);
      }
    }
    return finish_wide(l, t, Dot::kBias, kRows, kPanels, wide);
  }
}

/// The largest tiles first, then halves for the positions that are left.
template <class Dot, Sums kSums, int kTaps, int kRows, int kPanels>
std::uint64_t positions(const ConvLines& l, Tile t, Pending& pending) {
  std::uint64_t events = 0;
  for (; t.x + kRows <= l.positions; t.x += kRows)
    events += tile<Dot, kSums, kTaps, kRows, kPanels>(l, t, pending);
  if constexpr (kRows > 1) {
    if (t.x < l.positions)
      events += positions<Dot, kSums, kTaps, kRows / 2, kPanels>(l, t, pending);
  }
  return events;
}

template <class Dot, Sums kSums, int kTaps>
std::uint64_t panels(const ConvLines& l) {
  Pending pending;
  pending.wrap_bits = l.wrap_bits < 32 ? l.wrap_bits : 0;
  std::uint64_t events = 0;
  for (std::int64_t col = 0; col < l.n; col += 32) {
    for (std::int64_t y = 0; y < l.lines; ++y) {
      events += col + 16 < l.n ? positions<Dot, kSums, kTaps, 8, 2>(l, {y, 0, col}, pending)
                               : positions<Dot, kSums, kTaps, 16, 1>(l, {y, 0, col}, pending);
    }
  }
  pending.scale_rest();
  return events + pending.count_events();
}

template <class Dot, Sums kSums>
std::uint64_t lines_of(const ConvLines& l) {
  return l.step_x == 1 && l.taps_x == 3 ? panels<Dot, kSums, 3>(l) : panels<Dot, kSums, 1>(l);
}

bool narrow(const ConvLines& l) { return l.parts == 1 && l.slice >= l.codes.groups; }

}  // namespace

std::uint64_t conv_lines_int8_avx512(const ConvLines& lines) {
  return narrow(lines) ? lines_of<Int8Dot, Sums::narrow>(lines)
                       : lines_of<Int8Dot, Sums::wide>(lines);
}
std::uint64_t conv_lines_int16_avx512(const ConvLines& lines) {
  return narrow(lines) ? lines_of<Int16Dot, Sums::narrow>(lines)
                       : lines_of<Int16Dot, Sums::wide>(lines);
}

}  // namespace ebb::kernels
