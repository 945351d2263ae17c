#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/micro.h"

// Lines of convolutions. A tile holds its positions' sums in registers from the first tap to the scaled result. Where neighbouring
// positions share pixels (step 1) a broadcast group of four codes serves all three taps of a kernel's row at once.
namespace ebb::kernels {
namespace {

struct Tile {
  const std::int8_t* pixels;    ///< first tap of the first position
  const std::uint8_t* weights;  ///< of the first panel
  std::int64_t x, col;          ///< first position and column
};

/// The low bits of each sum as two's complement; adds how often each went round to `events`.
__m512i wrap(__m512i sum, int bits, __m512i& events) {
  const __m128i up = _mm_cvtsi32_si128(32 - bits);
  const __m512i kept = _mm512_sra_epi32(_mm512_sll_epi32(sum, up), up);
  const __m512i turns = _mm512_sra_epi32(_mm512_sub_epi32(sum, kept), _mm_cvtsi32_si128(bits));
  events = _mm512_add_epi32(events, _mm512_abs_epi32(turns));
  return kept;
}

/// float((alpha s + beta a) + gamma) of eight columns.
inline __m256 scaled(__m256i s, __m512d a, __m512d alpha, __m512d beta, const double* gamma) {
  const __m512d term = _mm512_add_pd(_mm512_mul_pd(alpha, _mm512_cvtepi32_pd(s)), _mm512_mul_pd(beta, a));
  return _mm512_cvtpd_ps(_mm512_add_pd(term, _mm512_loadu_pd(gamma)));
}

template <bool kWraps, int kRows, int kPanels>
std::uint64_t finish(const ConvLine& l, const Tile& t, __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}]) {
  __m512i events = _mm512_setzero_si512();
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const std::int64_t col = t.col + 16 * p;
    const __m512d alpha0 = _mm512_loadu_pd(l.alpha + col), alpha1 = _mm512_loadu_pd(l.alpha + col + 8);
    const __m512d beta0 = _mm512_loadu_pd(l.beta + col), beta1 = _mm512_loadu_pd(l.beta + col + 8);
    const std::int64_t left = l.n - col;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const std::int32_t a = l.sums[t.x + r];
      __m512i s = _mm512_sub_epi32(sum[r][p], _mm512_set1_epi32(128 * a));  // the weights are stored 128 too high
      if (kWraps) {
        __m512i turns = _mm512_setzero_si512();
        s = wrap(s, l.wrap_bits, turns);
        events = _mm512_add_epi32(events, _mm512_maskz_mov_epi32(mask, turns));
      }
      const __m512d both = _mm512_set1_pd(static_cast<double>(a));
      const double* const gamma = l.gamma[t.x + r] + col;
      const __m256 low = scaled(_mm512_castsi512_si256(s), both, alpha0, beta0, gamma);
      const __m256 high = scaled(_mm512_extracti64x4_epi64(s, 1), both, alpha1, beta1, gamma + 8);
      _mm512_mask_storeu_ps(l.out + (t.x + r) * l.out_stride + col, mask, _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
    }
  }
  return kWraps ? static_cast<std::uint64_t>(_mm512_reduce_add_epi32(events)) : 0;
}

/// kTaps neighbouring taps of a row at a time; more than one only at step 1.
template <int kTaps, int kRows, int kPanels>
std::uint64_t tile(const ConvLine& l, const Tile& t) {
  constexpr int kPixels = kRows + kTaps - 1, kPointers = (kPixels + 3) / 4;
  __m512i sum[std::size_t{kRows}][std::size_t{kPanels}];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_si512();
  }
  const std::int64_t hop = l.step * l.pixel, tap_bytes = 64 * l.groups, panel_bytes = l.taps_y * l.taps_x * tap_bytes;
  const std::uint8_t* from = t.weights;
  for (std::int64_t ky = 0; ky < l.taps_y; ++ky) {
    for (std::int64_t kx = 0; kx < l.taps_x; kx += kTaps, from += (kTaps - 1) * tap_bytes) {
      // Four pixels to a pointer: their addresses fit x86's base + index * scale.
      const std::int8_t* at[std::size_t{kPointers}];
#pragma GCC unroll 5
      for (int i = 0; i < kPointers; ++i) at[i] = t.pixels + ky * l.line + kx * l.pixel + 4 * i * hop;
      for (std::int64_t g = 0; g < l.groups; ++g, from += 64) {
        __m512i right[std::size_t{kTaps}][std::size_t{kPanels}];
#pragma GCC unroll 3
        for (int k = 0; k < kTaps; ++k) {
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) right[k][p] = _mm512_loadu_si512(from + k * tap_bytes + p * panel_bytes);
        }
#pragma GCC unroll 18
        for (int i = 0; i < kPixels; ++i) {
          std::int32_t four;
          __builtin_memcpy(&four, at[i / 4] + (i % 4) * hop, 4);
          const __m512i all = _mm512_set1_epi32(four);
#pragma GCC unroll 3
          for (int k = 0; k < kTaps; ++k) {
            const int r = i - k;
            if (r < 0 || r >= kRows) continue;
#pragma GCC unroll 2
            for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], right[k][p], all);
          }
        }
#pragma GCC unroll 5
        for (int i = 0; i < kPointers; ++i) at[i] += 4;
      }
    }
  }
  const bool wraps = l.wrap_bits > 0 && l.wrap_bits < 32;
  return wraps ? finish<true, kRows, kPanels>(l, t, sum) : finish<false, kRows, kPanels>(l, t, sum);
}

/// The largest tiles first, then halves for the positions that are left.
template <int kTaps, int kRows, int kPanels>
std::uint64_t positions(const ConvLine& l, Tile t) {
  std::uint64_t events = 0;
  for (; t.x + kRows <= l.positions; t.x += kRows, t.pixels += kRows * l.step * l.pixel)
    events += tile<kTaps, kRows, kPanels>(l, t);
  if constexpr (kRows > 1) {
    if (t.x < l.positions) events += positions<kTaps, kRows / 2, kPanels>(l, t);
  }
  return events;
}

template <int kTaps>
std::uint64_t panels(const ConvLine& l) {
  const std::int64_t panel_bytes = l.taps_y * l.taps_x * l.groups * 64;
  std::uint64_t events = 0;
  Tile t{l.pixels, l.weights, 0, 0};
  for (; t.col + 16 < l.n; t.col += 32, t.weights += 2 * panel_bytes) events += positions<kTaps, 8, 2>(l, t);
  if (t.col < l.n) events += positions<kTaps, 16, 1>(l, t);
  return events;
}

}  // namespace

std::uint64_t conv_line_avx512(const ConvLine& line) {
  return line.step == 1 && line.taps_x == 3 ? panels<3>(line) : panels<1>(line);
}

void sum_pixels_avx512(const std::int8_t* codes, std::int64_t pixels, std::int64_t pixel, std::int32_t* sums) {
  const __m512i flip = _mm512_set1_epi8(-128);
  const std::int64_t at_once = 64 / pixel;
  const auto bias = static_cast<std::int32_t>(128 * pixel);
  for (std::int64_t i = 0; i < pixels; i += at_once, codes += 64) {
    // Sums of eight bytes each; then neighbours meet until a pixel's sum stands in its first lane.
    __m512i s = _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(codes), flip), _mm512_setzero_si512());
    if (pixel >= 16) s = _mm512_add_epi64(s, _mm512_shuffle_epi32(s, _MM_PERM_BADC));
    if (pixel >= 32) s = _mm512_add_epi64(s, _mm512_permutex_epi64(s, 0x4e));
    if (pixel >= 64) s = _mm512_add_epi64(s, _mm512_shuffle_i64x2(s, s, 0x4e));
    std::int64_t lanes[8];
    _mm512_storeu_si512(lanes, s);
    for (std::int64_t k = 0; k < at_once && i + k < pixels; ++k)
      sums[i + k] = static_cast<std::int32_t>(lanes[k * pixel / 8]) - bias;
  }
}

}  // namespace ebb::kernels
