#include "quant/kernels/blocks/tile.h"

#include "core/kernels/lanes.h"

namespace ebb::kernels {
namespace {

constexpr int kVectors = kBlockPanel / kLanes;  ///< of a panel

/// Codes as int16 in pairs.
struct Int16Pairs {
  static constexpr std::int32_t kBias = 0;
  static void add(const Full::Int& a, const Full::Int& b, Full::Int& sum) {
#if defined(__AVX512F__)
    sum = reinterpret_cast<Full::Int>(_mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sum),
                                                          reinterpret_cast<__m512i>(a),
                                                          reinterpret_cast<__m512i>(b)));
#else
    sum += multiply_pairs(a, b);
#endif
  }
};
#if defined(__AVX512F__)
/// Codes of a as int8 and of b as code + 128, in fours.
struct Int8Fours {
  static constexpr std::int32_t kBias = 128;
  static void add(const Full::Int& a, const Full::Int& b, Full::Int& sum) {
    sum = reinterpret_cast<Full::Int>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                          reinterpret_cast<__m512i>(b),
                                                          reinterpret_cast<__m512i>(a)));
  }
};
#endif

template <class Dot, int kRows, int kPanels>
void tile(const BlockTile& t, int row, int panel) {
  constexpr int kAcross = kPanels * kVectors;
  Full::Float result[std::size_t{kRows}][std::size_t{kAcross}] = {};
  const std::int8_t* left = t.a.data + row * t.a.row;
  const std::uint8_t* right = t.b.data + panel * t.b.panel;
  std::int64_t group = 0;
  for (std::int64_t s = 0; s < t.segments; ++s) {
    Full::Int sum[std::size_t{kRows}][std::size_t{kAcross}];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const std::int32_t start = Dot::kBias == 0 ? 0 : -Dot::kBias * t.sums_a[s * t.rows + row + i];
#pragma GCC unroll 4
      for (int v = 0; v < kAcross; ++v) sum[i][v] = Full::Int{} + start;
    }
    for (; group < t.ends[s]; ++group, left += t.a.group, right += 64) {
      Full::Int b[std::size_t{kAcross}];
#pragma GCC unroll 4
      for (int v = 0; v < kAcross; ++v)
        fetch(b[v], right + v / kVectors * t.b.panel + v % kVectors * 4 * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        std::int32_t codes;
        __builtin_memcpy(&codes, left + i * t.a.row, 4);
        const Full::Int all = Full::Int{} + codes;
#pragma GCC unroll 4
        for (int v = 0; v < kAcross; ++v) Dot::add(all, b[v], sum[i][v]);
      }
    }
    const float* const scales = t.scale_b + s * t.columns + panel * kBlockPanel;
    Full::Float scale[std::size_t{kAcross}];
#pragma GCC unroll 4
    for (int v = 0; v < kAcross; ++v) scale[v] = load<Full>(scales + v * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const auto own = broadcast<Full::Float>(t.scale_a[s * t.rows + row + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kAcross; ++v)
        add_product(__builtin_convertvector(sum[i][v], Full::Float) * own, scale[v], result[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kAcross; ++v)
      store(t.c + (row + i) * t.ldc + panel * kBlockPanel + v * kLanes, result[i][v]);
  }
}

/// As many sums as leave registers for what they are scaled by.
constexpr int kRows = kLanes == 16 ? 6 : kLanes == 8 ? 2 : 1, kPanels = kLanes == 16 ? 2 : 1;

template <class Dot, int kTall, int kWide>
void rows_of(const BlockTile& t, int row, int rows, int panel) {
  for (; row + kTall <= rows; row += kTall) tile<Dot, kTall, kWide>(t, row, panel);
  if constexpr (kTall > 1) {
    if (row < rows) rows_of<Dot, kTall / 2, kWide>(t, row, rows, panel);
  }
}
template <class Dot>
void multiply(const BlockTile& t, int rows, int panels) {
  int panel = 0;
  for (; panel + kPanels <= panels; panel += kPanels)
    rows_of<Dot, kRows, kPanels>(t, 0, rows, panel);
  for (; panel < panels; ++panel) rows_of<Dot, kRows, 1>(t, 0, rows, panel);
}

using Double = Half::Double;
using Narrow = Vector<kLanes / 2>;
constexpr int kDoubles = kLanes / 2;

/// x + y = sum + error.
inline void add_exactly(const Double& x, const Double& y, Double& sum, Double& error) {
  sum = x + y;
  const Double part = sum - x;
  error = (x - (sum - part)) + (y - part);
}

/// total + (high + low), rounded once to float32: by way of a sum in float64 that is rounded to
/// odd. An infinite total stays.
inline void add_rounded(const Double& high, const Double& low, float* total) {
  Narrow::Float before;
  fetch(before, total);
  Double old, sum, error, rest, last, odd;
  widen(before, old);
  add_exactly(old, high, sum, error);
  add_exactly(error, low, rest, last);
  odd = sum + rest;
  const Double left = (rest - (odd - sum)) + last;  // of its sign alone
  const auto bits = reinterpret_cast<Half::LongBits>(odd);
  const auto inexact = reinterpret_cast<Half::LongBits>((left > 0.0) | (left < 0.0));
  const auto down = reinterpret_cast<Half::LongBits>((left > 0.0) ^ (odd > 0.0));
  const Half::LongBits even = (bits & 1) - 1;                 // all ones where the last bit is 0
  const Half::LongBits step = (inexact & even) & (down | 1);  // 1, or -1 toward zero
  odd = reinterpret_cast<Double>(bits + step);
  const auto finite = (old - old) == 0.0;
  odd = finite ? odd : old;
  Narrow::Float after;
  narrow_to(odd, after);
  store(total, after);
}

/// sum += x y, which is exact.
inline void add_exact_product(const Double& x, const Double& y, Double& sum) {
  if constexpr (kLanes > 4) {
    add_product(x, y, sum);
  } else {
    sum += x * y;
  }
}

/// A segment's exact sums, of which those of kPairs have a low part, times both scales to c.
template <bool kPairs>
void add_segment(const Double& sum, const Double& low, double scale_a, const float* scales_b,
                 float* c) {
  Narrow::Float scales;
  fetch(scales, scales_b);
  Double scale;
  widen(scales, scale);
  scale *= scale_a;
  const Double high = sum * scale;
  Double rest = -high;
  if constexpr (kPairs) {
    rest = low * scale;  // the scale is a power of two
  } else {
    add_product(sum, scale, rest);
  }
  add_rounded(high, rest, c);
}

template <bool kPairs, int kRows>
void wide_tile(const WideBlockTile& t, int row, int panel) {
  constexpr int kAcross = kBlockPanel / kDoubles;
  float* const c = t.c + row * t.ldc + panel * kBlockPanel;
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kBlockPanel; ++j) c[i * t.ldc + j] = 0.0f;
  }
  const double* const a = t.a + row * t.k_all;
  const double* b = t.b + panel * t.k_all * kBlockPanel;
  std::int64_t k = 0;
  for (std::int64_t s = 0; s < t.segments; ++s) {
    Double sum[std::size_t{kRows}][std::size_t{kAcross}] = {},
           low[std::size_t{kRows}][std::size_t{kAcross}] = {};
    for (; k < t.ends[s]; ++k, b += kBlockPanel) {
#pragma GCC unroll 8
      for (int v = 0; v < kAcross; ++v) {
        Double y;
        fetch(y, b + v * kDoubles);
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i) {
          const auto x = broadcast<Double>(a[i * t.k_all + k]);
          if constexpr (kPairs) {
            const Double before = sum[i][v];
            Double error;
            add_exactly(before, x * y, sum[i][v], error);
            low[i][v] += error;
          } else {
            add_exact_product(x, y, sum[i][v]);
          }
        }
      }
    }
    for (int i = 0; i < kRows; ++i) {
      const double scale_a = static_cast<double>(t.scale_a[s * t.rows + row + i]);
      for (int v = 0; v < kAcross; ++v)
        add_segment<kPairs>(sum[i][v], low[i][v], scale_a,
                            t.scale_b + s * t.columns + panel * kBlockPanel + v * kDoubles,
                            c + i * t.ldc + v * kDoubles);
    }
  }
}

template <bool kPairs>
void multiply_wide(const WideBlockTile& t, int rows, int panels) {
  constexpr int kTall = kLanes == 4 ? 1 : 4;
  for (int panel = 0; panel < panels; ++panel) {
    int row = 0;
    for (; row + kTall <= rows; row += kTall) wide_tile<kPairs, kTall>(t, row, panel);
    for (; row < rows; ++row) wide_tile<kPairs, 1>(t, row, panel);
  }
}

constexpr BlockKernels kBlocks {
  .panels = kPanels,
#if defined(__AVX512F__)
  .bytes = multiply<Int8Fours>,
#else
  .bytes = nullptr,
#endif
  .words = multiply<Int16Pairs>, .exact = multiply_wide<false>, .pairs = multiply_wide<true>
};

}  // namespace

constinit const BlockKernels BlockKernels::EBB_TARGET = kBlocks;

}  // namespace ebb::kernels
