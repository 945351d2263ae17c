#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/kernels/dense/dot_avx512.h"
#include "quant/kernels/dense/tile.h"

/// Scaling of finished tiles while others grow. In an unnamed namespace, like dot_avx512.h.
namespace ebb::kernels {
namespace {

constexpr int kTileVectors = 24;  ///< sums of a tile at the most, in vectors of 16

/// The sums of a finished tile on their way to results. Scaling keeps other ports busy than
/// multiplying does, so it is done little by little while the next tile grows.
struct Pending {
  alignas(64) std::int32_t sums[kTileVectors * 16];
  TileTarget to{};
  std::int64_t wrap_bits = 0;
  std::int64_t first = 0, cols = 0;  ///< columns of the tile
  std::int64_t row = 0, rows = 0;    ///< the next row, and the end
  std::int64_t done = 0;             ///< columns of that row
  const std::int32_t* next = sums;
  __m512i events = _mm512_setzero_si512();

  [[nodiscard]] bool any() const { return row != rows; }

  /// Scales the next vectors of a row, kVectors at the most. Inline, so that the sums of the
  /// growing tile stay in their registers.
  template <int kVectors>
  [[gnu::always_inline]] void scale() {
    if (to.sums == nullptr) __builtin_unreachable();  // any() says that a tile set them
    const __m512d a = _mm512_set1_pd(static_cast<double>(to.sums[row]));
    const std::int64_t col = first + done;
    const double *scale_ab = to.scale_ab + row * to.stride + col,
                 *zero_b = to.zero_b + row * to.stride + col, *constant = to.constant[row] + col;
    const float* bias = to.bias == nullptr ? nullptr : to.bias + col;
    float* out = to.out + row * to.ld + col;
    const std::int32_t* from = next;
    const std::int64_t end = cols - done < kVectors * 16 ? cols - done : kVectors * 16;
    for (std::int64_t left = end; left > 0;
         left -= 16, from += 16, scale_ab += 16, zero_b += 16, constant += 16, out += 16) {
      const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
      __m512i s = _mm512_load_si512(from);
      if (wrap_bits > 0) s = wrapped(s, static_cast<int>(wrap_bits), mask, events);
      if (left >= 16) [[likely]] {
        const auto load = [](const double* x) { return _mm512_loadu_pd(x); };
        __m256 low = scaled(_mm512_cvtepi32_pd(_mm512_castsi512_si256(s)), a, load(scale_ab),
                            load(zero_b), load(constant));
        __m256 high = scaled(_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(s, 1)), a,
                             load(scale_ab + 8), load(zero_b + 8), load(constant + 8));
        if (bias != nullptr) {
          low = _mm256_add_ps(low, _mm256_loadu_ps(bias));
          high = _mm256_add_ps(high, _mm256_loadu_ps(bias + 8));
          bias += 16;
        }
        _mm256_storeu_ps(out, low);
        _mm256_storeu_ps(out + 8, high);
      } else {
        const auto of_low = static_cast<__mmask8>(mask), of_high = static_cast<__mmask8>(mask >> 8);
        const auto load = [](__mmask8 m, const double* x) { return _mm512_maskz_loadu_pd(m, x); };
        const __m512i upper = _mm512_shuffle_i64x2(s, s, 0xee);
        __m256 low = scaled(_mm512_cvtepi32_pd(_mm512_castsi512_si256(s)), a,
                            load(of_low, scale_ab), load(of_low, zero_b), load(of_low, constant));
        __m256 high = scaled(_mm512_cvtepi32_pd(_mm512_castsi512_si256(upper)), a,
                             load(of_high, scale_ab + 8), load(of_high, zero_b + 8),
                             load(of_high, constant + 8));
        if (bias != nullptr) {
          low = _mm256_add_ps(low, _mm256_maskz_loadu_ps(of_low, bias));
          high = _mm256_add_ps(high, _mm256_maskz_loadu_ps(of_high, bias + 8));
          bias += 16;
        }
        _mm256_mask_storeu_ps(out, of_low, low);
        _mm256_mask_storeu_ps(out + 8, of_high, high);
      }
    }
    next = from;
    done += end;
    if (done < cols) return;
    done = 0;
    ++row;
  }
  void scale_rest() {
    while (any()) scale<kTilePanels>();
  }

  /// Scales what is left of the tile before and takes the next: columns col .. col + count of
  /// `target`, which reach into the last panel.
  template <int kRows, int kPanels>
  [[gnu::always_inline]] void take(const __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}],
                                   const TileTarget& target, std::int64_t col, std::int64_t count) {
    scale_rest();
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p)
        _mm512_store_si512(sums + (i * kPanels + p) * 16, sum[i][p]);
    }
    to = target;
    first = col;
    cols = count < kPanels * 16 ? count : kPanels * 16;
    row = 0;
    done = 0;
    rows = kRows;
    next = sums;
  }

  /// How often sums went round, once nothing is pending.
  [[nodiscard]] std::uint64_t count_events() const {
    return wrap_bits > 0 ? static_cast<std::uint64_t>(_mm512_reduce_add_epi64(events)) : 0;
  }
};

}  // namespace
}  // namespace ebb::kernels
