#include <immintrin.h>

#include "core/kernels/philox_avx2.h"
#include "quant/formats/kernels/encode.h"

namespace ebb::kernels {
namespace {

constexpr std::uint32_t kRounding = 2;  // what the draws are for, as in grid.cpp

struct Scaler {
  __m256 offset, scale, low, high;
  __m256i centre;
  explicit Scaler(EncodeGrid g)
      : offset(_mm256_set1_ps(g.offset)),
        scale(_mm256_set1_ps(g.scale)),
        low(_mm256_set1_ps(g.low)),
        high(_mm256_set1_ps(g.high)),
        centre(_mm256_set1_epi32(g.centre)) {}
  __m256 operator()(__m256 x) const {
    const __m256 v = _mm256_div_ps(_mm256_sub_ps(x, offset), scale);
    return _mm256_min_ps(_mm256_max_ps(v, low), high);
  }
  /// Stores 32 codes of four vectors.
  void store(std::int8_t* out, const __m256i codes[4]) const {
    const __m256i ab =
        _mm256_packs_epi32(_mm256_sub_epi32(codes[0], centre), _mm256_sub_epi32(codes[1], centre));
    const __m256i cd =
        _mm256_packs_epi32(_mm256_sub_epi32(codes[2], centre), _mm256_sub_epi32(codes[3], centre));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), bytes);
  }
  void store(std::int16_t* out, const __m256i codes[4]) const {
    for (int half = 0; half < 2; ++half) {
      const __m256i words = _mm256_packs_epi32(_mm256_sub_epi32(codes[2 * half], centre),
                                               _mm256_sub_epi32(codes[2 * half + 1], centre));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16 * half),
                          _mm256_permute4x64_epi64(words, 0xd8));
    }
  }
};

float lowest_lane(__m256 v) {
  float lanes[8];
  _mm256_storeu_ps(lanes, v);
  for (int i = 1; i < 8; ++i) lanes[0] = lanes[i] < lanes[0] ? lanes[i] : lanes[0];
  return lanes[0];
}

/// Runs body(i, pointer to 32 floats, pointer to 32 codes); a last short part goes through buffers.
template <class Code, class Body>
void by_32(const float* x, std::int64_t n, Code* out, const Body& body) {
  std::int64_t i = 0;
  for (; i + 32 <= n; i += 32) body(i, x + i, out + i);
  if (i == n) return;
  float values[32];
  Code codes[32];
  for (std::int64_t j = 0; j < 32; ++j) values[j] = x[i + j < n ? i + j : n - 1];
  body(i, values, codes);
  for (std::int64_t j = 0; i + j < n; ++j) out[i + j] = codes[j];
}

template <class Code>
void nearest(const float* x, std::int64_t n, EncodeGrid grid, Code* out) {
  const Scaler scaled(grid);
  by_32(x, n, out, [&](std::int64_t, const float* from, Code* to) {
    __m256i codes[4];
    for (int v = 0; v < 4; ++v) {
      const __m256 rounded = _mm256_round_ps(scaled(_mm256_loadu_ps(from + 8 * v)),
                                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      codes[v] = _mm256_cvttps_epi32(rounded);
    }
    scaled.store(to, codes);
  });
}

template <class Code>
void nearest_each(const float* x, std::int64_t n, const EncodeGrids& grids, Code* out) {
  Scaler scaled({0.0f, 1.0f, grids.low, grids.high, grids.centre});
  by_32(x, n, out, [&](std::int64_t i, const float* from, Code* to) {
    __m256i codes[4];
    for (int v = 0; v < 4; ++v) {
      scaled.offset = _mm256_loadu_ps(grids.offset + i + 8 * v);
      scaled.scale = _mm256_loadu_ps(grids.scale + i + 8 * v);
      const __m256 rounded = _mm256_round_ps(scaled(_mm256_loadu_ps(from + 8 * v)),
                                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      codes[v] = _mm256_cvttps_epi32(rounded);
    }
    scaled.store(to, codes);
  });
}

template <class Code>
void stochastic(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                std::uint64_t first, Code* out) {
  const Scaler scaled(grid);
  const __m256 steps = _mm256_set1_ps(65536.0f), half = _mm256_set1_ps(0.5f);
  __m256i words[2][4];  // blocks 0..7 and 8..15 of the group of 128 elements
  by_32(x, n, out, [&](std::int64_t i, const float* from, Code* to) {
    if (i % 128 == 0) {
      const std::uint64_t block = (first + static_cast<std::uint64_t>(i)) / 8;
      philox(key, block, kRounding, words[0]);
      philox(key, block + 8, kRounding, words[1]);
    }
    __m256i codes[4];
    for (int v = 0; v < 4; ++v) {
      const std::int64_t part = i % 128 / 16 + v / 2;
      const __m256i word = words[v % 2][part % 4];
      const __m256i bits = part < 4 ? _mm256_and_si256(word, _mm256_set1_epi32(0xffff))
                                    : _mm256_srli_epi32(word, 16);
      const __m256 value = scaled(_mm256_loadu_ps(from + 8 * v));
      const __m256 below = _mm256_floor_ps(value);
      const __m256 fraction = _mm256_mul_ps(_mm256_sub_ps(value, below), steps);
      const __m256 up =
          _mm256_cmp_ps(fraction, _mm256_add_ps(_mm256_cvtepi32_ps(bits), half), _CMP_GT_OQ);
      codes[v] = _mm256_sub_epi32(_mm256_cvttps_epi32(below),
                                  _mm256_castps_si256(up));  // a true lane is -1
    }
    scaled.store(to, codes);
  });
}

}  // namespace

bool range_avx2(const float* x, std::int64_t n, float* min, float* max) {
  __m256 low = _mm256_set1_ps(x[0]), high = low;
  __m256i largest = _mm256_setzero_si256();
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  const auto take = [&](__m256 v) {
    low = _mm256_min_ps(low, v);
    high = _mm256_max_ps(high, v);
    largest = _mm256_max_epu32(largest, _mm256_and_si256(_mm256_castps_si256(v), magnitude));
  };
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) take(_mm256_loadu_ps(x + i));
  for (; i < n; ++i) take(_mm256_set1_ps(x[i]));
  *min = lowest_lane(low);
  *max = -lowest_lane(_mm256_xor_ps(high, _mm256_set1_ps(-0.0f)));
  std::uint32_t lanes[8], worst = 0;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), largest);
  for (const std::uint32_t lane : lanes) worst = lane > worst ? lane : worst;
  return worst < 0x7f800000u;
}

void encode_nearest_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::int8_t* out) {
  nearest(x, n, grid, out);
}
void encode_nearest_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::int16_t* out) {
  nearest(x, n, grid, out);
}
void encode_each_avx2(const float* x, std::int64_t n, const EncodeGrids& grids, std::int8_t* out) {
  nearest_each(x, n, grids, out);
}
void encode_each_avx2(const float* x, std::int64_t n, const EncodeGrids& grids, std::int16_t* out) {
  nearest_each(x, n, grids, out);
}
void encode_stochastic_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                            std::uint64_t first, std::int8_t* out) {
  stochastic(x, n, grid, key, first, out);
}
void encode_stochastic_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                            std::uint64_t first, std::int16_t* out) {
  stochastic(x, n, grid, key, first, out);
}

}  // namespace ebb::kernels
