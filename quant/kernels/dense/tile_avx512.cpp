#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/dense/pending_avx512.h"
#include "quant/kernels/dense/tile.h"

namespace ebb::kernels {
namespace {

/// A tile becomes results, by way of `pending`.
struct Scale {
  static constexpr bool kScales = true;
  TileTarget to;
  std::int64_t first, cols;
  Pending* pending;

  [[nodiscard]] Scale below(int rows) const {
    const std::int64_t skip = rows * to.stride;
    return {{to.scale_ab + skip, to.zero_b + skip, to.stride, to.constant + rows, to.sums + rows,
             to.out + rows * to.ld, to.ld, to.bias},
            first,
            cols,
            pending};
  }
  /// A row begins at the opposite of what b's bias will add to it.
  template <std::int32_t kBias>
  [[nodiscard]] __m512i start(int row) const {
    return kBias == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(-kBias * to.sums[row]);
  }
  [[nodiscard]] bool has_work() const { return pending->any(); }
  /// The results' lines, which are written while the tile after this one grows, should be in cache
  /// by then.
  template <int kRows, int kPanels>
  [[gnu::always_inline]] void prefetch() const {
    for (std::int64_t i = 0; i < kRows; ++i) {
      for (std::int64_t p = 0; p < kPanels; ++p)
        __builtin_prefetch(to.out + i * to.ld + first + 16 * p, 1);
    }
  }
  template <int kVectors>
  [[gnu::always_inline]] void work() const {
    pending->scale<kVectors>();
  }

  template <int kRows, int kPanels>
  void finish(const __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}]) const {
    pending->take<kRows, kPanels>(sum, to, first, cols);
  }
};

/// Adds a tile's sums, shifted, to wider ones in memory.
struct Accumulate {
  static constexpr bool kScales = false;
  std::int64_t* c;
  std::int64_t ld;
  int shift;

  [[nodiscard]] Accumulate below(int rows) const { return {c + rows * ld, ld, shift}; }
  template <std::int32_t kBias>
  [[nodiscard]] __m512i start(int) const {
    return _mm512_setzero_si512();
  }
  [[nodiscard]] static bool has_work() { return false; }
  template <int, int>
  static void prefetch() {}
  template <int>
  static void work() {}

  /// By way of memory: with 64-bit sums in sight, compilers run out of registers in the loop
  /// before.
  template <int kRows, int kPanels>
  void finish(const __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}]) const {
    alignas(64) std::int32_t sums[std::size_t{kRows}][std::size_t{kPanels} * 16];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) _mm512_store_si512(sums[i] + 16 * p, sum[i][p]);
    }
    for (int i = 0; i < kRows; ++i) add_shifted(sums[i], kPanels * 16, shift, c + i * ld);
  }
};

/// kRows x kPanels accumulators of 16 int32: with 24 of them the multiply ports never wait for a
/// result. Before every `share` groups, kVectors vectors of the tile before are scaled.
template <class Dot, int kVectors, int kRows, int kPanels, class Finish>
[[gnu::always_inline]] inline void grow(const TileLeft& a, const TileRight& b, std::int64_t share,
                                        const Finish& finish,
                                        __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}]) {
  const std::int8_t* left = a.data;
  const std::uint8_t* from = b.data;
  for (std::int64_t g = 0; g < b.groups;) {
    const bool work = finish.has_work();
    const std::int64_t end = work && g + share < b.groups ? g + share : b.groups;
    if (work) finish.template work<kVectors>();
    for (; g < end; ++g, from += 64, left += a.group) {
      __m512i right[std::size_t{kPanels}];
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) right[p] = _mm512_loadu_si512(from + p * b.panel);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        std::int32_t group;
        __builtin_memcpy(&group, left + i * a.row, 4);
        const __m512i all = _mm512_set1_epi32(group);
#pragma GCC unroll 4
        for (int p = 0; p < kPanels; ++p) sum[i][p] = Dot::add(sum[i][p], right[p], all);
      }
    }
  }
}

template <class Dot, int kRows, int kPanels, class Finish>
[[gnu::noinline]] void tile(const TileLeft& a, const TileRight& b, const Finish& finish) {
  __m512i sum[std::size_t{kRows}][std::size_t{kPanels}];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) sum[i][p] = finish.template start<Dot::kBias>(i);
  }
  finish.template prefetch<kRows, kPanels>();
  // Small steps hide best, but a tile must have groups enough to pay for each step's overhead.
  constexpr int kVectors = kRows * kPanels;
  if (Finish::kScales && b.groups >= 3 * kVectors) {
    grow<Dot, 1, kRows, kPanels>(a, b, b.groups / kVectors, finish, sum);
  } else if (Finish::kScales && kPanels > 2 && b.groups >= kVectors) {
    grow<Dot, 2, kRows, kPanels>(a, b, b.groups / (kRows * ((kPanels + 1) / 2)), finish, sum);
  } else {
    grow<Dot, kPanels, kRows, kPanels>(a, b, b.groups > kRows ? b.groups / kRows : 1, finish, sum);
  }
  finish.template finish<kRows, kPanels>(sum);
}

/// Cuts `rows` into the tiles that exist for kPanels panels: the largest, then halves for what is
/// left.
template <class Dot, int kPanels, int kLargest, class Finish>
void tiles(TileLeft a, const TileRight& b, std::int64_t rows, Finish finish) {
  for (; rows >= kLargest; rows -= kLargest) {
    tile<Dot, kLargest, kPanels>(a, b, finish);
    a.data += kLargest * a.row;
    finish = finish.below(kLargest);
  }
  if constexpr (kLargest > 1) {
    if (rows > 0) tiles<Dot, kPanels, kLargest / 2>(a, b, rows, finish);
  }
}

template <class Dot, class Finish>
void panels_of(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels,
               const Finish& finish) {
  switch (panels) {
    case 1: return tiles<Dot, 1, 16>(a, b, rows, finish);
    case 2: return tiles<Dot, 2, 12>(a, b, rows, finish);
    case 3: return tiles<Dot, 3, 8>(a, b, rows, finish);
    default: return tiles<Dot, 4, 6>(a, b, rows, finish);
  }
}
template <class Dot>
void accumulate(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels, int shift,
                std::int64_t* c, std::int64_t ldc) {
  panels_of<Dot>(a, b, rows, panels, Accumulate{c, ldc, shift});
}
template <class Dot>
std::uint64_t product(const TileLeft& a, const TileRight& b, std::int64_t rows, int panels,
                      const TileTarget& to, std::int64_t col, std::int64_t cols, int wrap_bits) {
  Pending pending;
  pending.wrap_bits = wrap_bits;
  panels_of<Dot>(a, b, rows, panels, Scale{to, col, cols, &pending});
  pending.scale_rest();
  return pending.count_events();
}

/// [16 columns][4] of four rows of 16 codes: the rows side by side, then a transposition of 4 x 4
/// words, then of 4 x 4 bytes.
inline __m512i interleaved(const std::int8_t* const rows[4]) {
  const auto load = [](const std::int8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  };
  const __m512i words = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  __m512i x = _mm512_castsi128_si512(load(rows[0]));
  x = _mm512_mask_broadcast_i32x4(x, 0x00f0, load(rows[1]));
  x = _mm512_mask_broadcast_i32x4(x, 0x0f00, load(rows[2]));
  x = _mm512_mask_broadcast_i32x4(x, 0xf000, load(rows[3]));
  return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, x), bytes);
}

void interleave_fours(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
                      std::uint8_t flip, std::uint8_t* out, std::int64_t group,
                      std::int64_t panel) {
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(flip));
  std::int8_t missing[16];  // becomes zero when flipped
  _mm_storeu_si128(reinterpret_cast<__m128i*>(missing), _mm512_castsi512_si128(flips));
  for (std::int64_t g = 0; 4 * g < k; ++g, x += 4 * ld, out += group) {
    std::uint8_t* to = out;
    for (std::int64_t j = 0; j < cols; j += 16, to += panel) {
      const std::int8_t* rows[4];
      for (std::int64_t t = 0; t < 4; ++t) rows[t] = 4 * g + t < k ? x + t * ld + j : missing;
      _mm512_storeu_si512(to, _mm512_xor_si512(interleaved(rows), flips));
    }
  }
}

/// Transposes 16 x 16 words.
void transpose_words(__m512i (&x)[16]) {
  __m512i y[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      x[4 * i + 2 * h] = _mm512_unpacklo_epi64(y[4 * i + h], y[4 * i + 2 + h]);
      x[4 * i + 2 * h + 1] = _mm512_unpackhi_epi64(y[4 * i + h], y[4 * i + 2 + h]);
    }
  }
  // Lane l of x[4 i + w] now holds word 4 l + w of rows 4 i .. 4 i + 3: what is left is a
  // transposition of lanes.
#pragma GCC unroll 4
  for (int w = 0; w < 4; ++w) {
    const __m512i a = _mm512_shuffle_i32x4(x[w], x[4 + w], 0x44),
                  b = _mm512_shuffle_i32x4(x[w], x[4 + w], 0xee);
    const __m512i c = _mm512_shuffle_i32x4(x[8 + w], x[12 + w], 0x44),
                  d = _mm512_shuffle_i32x4(x[8 + w], x[12 + w], 0xee);
    y[w] = _mm512_shuffle_i32x4(a, c, 0x88);
    y[4 + w] = _mm512_shuffle_i32x4(a, c, 0xdd);
    y[8 + w] = _mm512_shuffle_i32x4(b, d, 0x88);
    y[12 + w] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] = y[i];
}

/// Adds up words of four vectors within lanes of 128 bits: word v of a lane is the sum of that lane
/// of x[v].
inline __m512i add_words(const __m512i* x) {
  const __m512i a =
      _mm512_add_epi32(_mm512_unpacklo_epi32(x[0], x[1]), _mm512_unpackhi_epi32(x[0], x[1]));
  const __m512i b =
      _mm512_add_epi32(_mm512_unpacklo_epi32(x[2], x[3]), _mm512_unpackhi_epi32(x[2], x[3]));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}
/// Adds neighbouring lanes, those of x before those of y.
inline __m512i add_lanes(__m512i x, __m512i y) {
  return _mm512_add_epi32(_mm512_shuffle_i32x4(x, y, 0x88), _mm512_shuffle_i32x4(x, y, 0xdd));
}

/// The sums of 16 rows of words in order, kRows of them to a vector.
template <int kRows>
inline __m512i sums_of_16(const __m512i* x) {
  if constexpr (kRows == 4) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, add_words(x));
  } else if constexpr (kRows == 2) {
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    return _mm512_permutexvar_epi32(order, add_lanes(add_words(x), add_words(x + 4)));
  } else {
    return add_lanes(add_lanes(add_words(x), add_words(x + 4)),
                     add_lanes(add_words(x + 8), add_words(x + 12)));
  }
}

/// Sums of rows that follow each other, kRows of them in 64 bytes.
template <class Dot, int kRows>
void sum_short_rows(const std::int8_t* codes, std::int64_t rows, std::int32_t* out) {
  constexpr int kVectors = 16 / kRows;
  for (std::int64_t i = 0; i < rows; i += 16) {
    const std::int64_t count = rows - i < 16 ? rows - i : 16;
    __m512i sums[std::size_t{kVectors}];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t row =
          v * kRows < count ? i + v * kRows : i;  // any row in place of those beyond the last
      sums[v] = Dot::add(_mm512_setzero_si512(), Dot::ones(),
                         _mm512_loadu_si512(codes + row * (64 / kRows)));
    }
    _mm512_mask_storeu_epi32(out + i, static_cast<__mmask16>((1 << count) - 1),
                             sums_of_16<kRows>(sums));
  }
}

/// Row sums. In place, a row's codes follow each other. Interleaved, groups lie apart and rows are
/// neighbours.
template <class Dot>
void sum_rows(const TileLeft& a, std::int64_t rows, std::int64_t k, std::int32_t* out) {
  const __m512i ones = Dot::ones();
  const std::int64_t bytes = k * Dot::kCodeBytes, whole = bytes / 64 * 64;
  if (a.group == 4 && a.row == bytes) {
    if (bytes == 16) return sum_short_rows<Dot, 4>(a.data, rows, out);
    if (bytes == 32) return sum_short_rows<Dot, 2>(a.data, rows, out);
    if (bytes == 64) return sum_short_rows<Dot, 1>(a.data, rows, out);
  }
  const __mmask64 tail = (std::uint64_t{1} << (bytes % 64)) - 1;
  for (std::int64_t i = 0; i < rows; i += 16) {
    const std::int64_t count = rows - i < 16 ? rows - i : 16;
    const auto lanes = static_cast<__mmask16>((1 << count) - 1);
    __m512i total = _mm512_setzero_si512();
    if (a.group == 4) {
      __m512i sums[16];
#pragma GCC unroll 16
      for (int r = 0; r < 16; ++r) {
        const std::int8_t* const row = a.data + (i + (r < count ? r : count - 1)) * a.row;
        __m512i sum =
            Dot::add(_mm512_setzero_si512(), ones, _mm512_maskz_loadu_epi8(tail, row + whole));
        for (std::int64_t at = 0; at < whole; at += 64)
          sum = Dot::add(sum, ones, _mm512_loadu_si512(row + at));
        sums[r] = sum;
      }
      total = sums_of_16<1>(sums);
    } else {
      for (std::int64_t g = 0; 4 * g < bytes; ++g)
        total =
            Dot::add(total, ones, _mm512_maskz_loadu_epi32(lanes, a.data + g * a.group + 4 * i));
    }
    _mm512_mask_storeu_epi32(out + i, lanes, total);
  }
}

template <int kCodeBytes>
void transpose(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
               std::uint8_t flip, std::uint8_t* out) {
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(flip));
  const std::int64_t bytes = k * kCodeBytes;
  for (std::int64_t at = 0; at < bytes; at += 64) {
    const std::int64_t left = bytes - at;
    const __mmask64 valid = left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
    __m512i words[16];
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      const std::int8_t* const column = x + (j < cols ? j : cols - 1) * ld + at;
      words[j] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(valid, column),
                                  _mm512_maskz_mov_epi8(valid, flips));
    }
    transpose_words(words);
    const std::int64_t groups = left >= 64 ? 16 : (left + 3) / 4;
    for (std::int64_t g = 0; g < groups; ++g) _mm512_storeu_si512(out + 16 * at + 64 * g, words[g]);
  }
}

void interleave_pairs(const std::int8_t* x, std::int64_t ld, std::int64_t k, std::int64_t cols,
                      std::uint8_t, std::uint8_t* out, std::int64_t group, std::int64_t panel) {
  const auto load = [](const std::int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  };
  for (std::int64_t g = 0; 2 * g < k; ++g, x += 2 * ld, out += group) {
    std::uint8_t* to = out;
    for (std::int64_t j = 0; j < cols; j += 16, to += panel) {
      const __m512i low = _mm512_cvtepu16_epi32(load(x + 2 * j));
      const __m512i high =
          2 * g + 1 < k ? _mm512_cvtepu16_epi32(load(x + ld + 2 * j)) : _mm512_setzero_si512();
      _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }
}

constexpr TileMicrokernel kInt8{.rows = {0, 16, 12, 8, 6},
                                .code_bytes = 1,
                                .bias = 0x80,
                                .accumulate = accumulate<Int8Dot>,
                                .product = product<Int8Dot>,
                                .sum_rows = sum_rows<Int8Dot>,
                                .interleave = interleave_fours,
                                .transpose = transpose<1>,
                                .coefficients = coefficients,
                                .conv_lines = conv_lines_int8_avx512,
                                .interleave_line = interleave_line_int8_avx512,
                                .add_products = add_products_int8_avx512};
constexpr TileMicrokernel kInt16{.rows = {0, 16, 12, 8, 6},
                                 .code_bytes = 2,
                                 .bias = 0,
                                 .accumulate = accumulate<Int16Dot>,
                                 .product = product<Int16Dot>,
                                 .sum_rows = sum_rows<Int16Dot>,
                                 .interleave = interleave_pairs,
                                 .transpose = transpose<2>,
                                 .coefficients = coefficients,
                                 .conv_lines = conv_lines_int16_avx512,
                                 .interleave_line = interleave_line_int16_avx512,
                                 .add_products = add_products_int16_avx512};

}  // namespace

constinit const TileMicrokernel TileMicrokernel::kInt8Avx512 = kInt8;
constinit const TileMicrokernel TileMicrokernel::kInt16Avx512 = kInt16;

}  // namespace ebb::kernels
