#include <immintrin.h>

#include "core/kernels/philox_avx512.h"
#include "quant/formats/kernels/encode.h"

namespace ebb::kernels {
namespace {

constexpr std::uint32_t kRounding = 2;  // what the draws are for, as in grid.cpp

constexpr std::int64_t kAhead =
    2048;  // bytes: a group's arithmetic takes longer than processors look ahead

__mmask16 first_lanes(std::int64_t n) {
  return n >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << n) - 1u);
}

struct Scaler {
  __m512 offset, scale, low, high;
  __m512i centre;
  explicit Scaler(EncodeGrid g)
      : offset(_mm512_set1_ps(g.offset)),
        scale(_mm512_set1_ps(g.scale)),
        low(_mm512_set1_ps(g.low)),
        high(_mm512_set1_ps(g.high)),
        centre(_mm512_set1_epi32(g.centre)) {}
  __m512 operator()(__m512 x) const {
    const __m512 v = _mm512_div_ps(_mm512_sub_ps(x, offset), scale);
    return _mm512_min_ps(_mm512_max_ps(v, low), high);
  }
  // Whole vectors are narrowed in a register: narrowing masked stores are microcode on some
  // processors.
  void store(std::int8_t* out, __m512i codes, __mmask16 lanes) const {
    const __m512i centred = _mm512_sub_epi32(codes, centre);
    if (lanes == 0xffff) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(centred));
    } else {
      _mm512_mask_cvtepi32_storeu_epi8(out, lanes, centred);
    }
  }
  void store(std::int16_t* out, __m512i codes, __mmask16 lanes) const {
    const __m512i centred = _mm512_sub_epi32(codes, centre);
    if (lanes == 0xffff) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(centred));
    } else {
      _mm512_mask_cvtepi32_storeu_epi16(out, lanes, centred);
    }
  }
};

template <class Code>
void nearest(const float* x, std::int64_t n, EncodeGrid grid, Code* out) {
  const Scaler scaled(grid);
  for (std::int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    _mm_prefetch(reinterpret_cast<const char*>(x + i) + kAhead, _MM_HINT_T0);
    const __m512 v = scaled(_mm512_maskz_loadu_ps(lanes, x + i));
    scaled.store(out + i,
                 _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), lanes);
  }
}

template <class Code>
void nearest_each(const float* x, std::int64_t n, const EncodeGrids& grids, Code* out) {
  Scaler scaled({0.0f, 1.0f, grids.low, grids.high, grids.centre});
  for (std::int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    scaled.offset = _mm512_loadu_ps(grids.offset + i);
    scaled.scale = _mm512_loadu_ps(grids.scale + i);
    const __m512 v = scaled(_mm512_maskz_loadu_ps(lanes, x + i));
    scaled.store(out + i,
                 _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), lanes);
  }
}

template <class Code>
void stochastic(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                std::uint64_t first, Code* out) {
  const Scaler scaled(grid);
  const __m512 steps = _mm512_set1_ps(65536.0f), half = _mm512_set1_ps(0.5f);
  const __m512i one = _mm512_set1_epi32(1);
  for (std::int64_t group = 0; group < n; group += 128) {
    __m512i words[4];
    philox(key, (first + static_cast<std::uint64_t>(group)) / 8, kRounding, words);
    const bool whole =
        n - group >= 128;  // a test for each part would keep them from running side by side
#pragma GCC unroll 8
    for (int part = 0; part < 8; ++part) {
      const std::int64_t i = group + part * 16;
      if (!whole && i >= n) break;
      const __mmask16 lanes = whole ? static_cast<__mmask16>(0xffff) : first_lanes(n - i);
      _mm_prefetch(reinterpret_cast<const char*>(x + i) + kAhead, _MM_HINT_T0);
      const __m512i word = words[part % 4];
      const __m512i bits = part < 4 ? _mm512_and_si512(word, _mm512_set1_epi32(0xffff))
                                    : _mm512_srli_epi32(word, 16);
      const __m512 v = scaled(_mm512_maskz_loadu_ps(lanes, x + i));
      const __m512 below = _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
      const __m512 fraction = _mm512_mul_ps(_mm512_sub_ps(v, below), steps);
      const __mmask16 up =
          _mm512_cmp_ps_mask(fraction, _mm512_add_ps(_mm512_cvtepi32_ps(bits), half), _CMP_GT_OQ);
      const __m512i code = _mm512_cvttps_epi32(below);
      scaled.store(out + i, _mm512_mask_add_epi32(code, up, code, one), lanes);
    }
  }
}

}  // namespace

bool range_avx512(const float* x, std::int64_t n, float* min, float* max) {
  __m512 low = _mm512_set1_ps(x[0]), high = low;
  __m512i largest = _mm512_setzero_si512();
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (std::int64_t i = 0; i < n; i += 16) {
    _mm_prefetch(reinterpret_cast<const char*>(x + i) + kAhead, _MM_HINT_T0);
    const __m512 v = _mm512_mask_loadu_ps(_mm512_set1_ps(x[0]), first_lanes(n - i), x + i);
    low = _mm512_min_ps(low, v);
    high = _mm512_max_ps(high, v);
    largest = _mm512_max_epu32(largest, _mm512_and_si512(_mm512_castps_si512(v), magnitude));
  }
  *min = _mm512_reduce_min_ps(low);
  *max = _mm512_reduce_max_ps(high);
  return _mm512_reduce_max_epu32(largest) < 0x7f800000u;
}

void encode_nearest_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::int8_t* out) {
  nearest(x, n, grid, out);
}
void encode_nearest_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::int16_t* out) {
  nearest(x, n, grid, out);
}
void encode_each_avx512(const float* x, std::int64_t n, const EncodeGrids& grids,
                        std::int8_t* out) {
  nearest_each(x, n, grids, out);
}
void encode_each_avx512(const float* x, std::int64_t n, const EncodeGrids& grids,
                        std::int16_t* out) {
  nearest_each(x, n, grids, out);
}
void encode_stochastic_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                              std::uint64_t first, std::int8_t* out) {
  stochastic(x, n, grid, key, first, out);
}
void encode_stochastic_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                              std::uint64_t first, std::int16_t* out) {
  stochastic(x, n, grid, key, first, out);
}

}  // namespace ebb::kernels
