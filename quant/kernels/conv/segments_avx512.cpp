#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/dense/dot_avx512.h"
#include "quant/kernels/dense/tile.h"

// The weights' gradient of convolutions: interleaving lines of pixels, and products of interleaved
// lines whose rows lie 4 bytes apart. The distance is a constant because the compiler would keep
// run-time row addresses in vector registers.
namespace ebb::kernels {
namespace {

/// 16 channels of the pixels of one group, `count` of which exist; the others are zeros.
template <class Dot>
__m512i load_group(const std::int8_t* pixels, std::int64_t stride, std::int64_t count);

template <>
inline __m512i load_group<Int8Dot>(const std::int8_t* pixels, std::int64_t stride,
                                   std::int64_t count) {
  const auto load = [&](std::int64_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels + i * stride));
  };
  __m512i four = _mm512_zextsi128_si512(load(0));
  if (stride == 16 && count == 4) {
    four = _mm512_loadu_si512(pixels);
  } else {
    if (count > 1) four = _mm512_inserti32x4(four, load(1), 1);
    if (count > 2) four = _mm512_inserti32x4(four, load(2), 2);
    if (count > 3) four = _mm512_inserti32x4(four, load(3), 3);
  }
  // Dword 4 q + p becomes channel group q of pixel p; then the bytes of each lane go from
  // [pixel][channel] to [channel][pixel].
  const __m512i dwords = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512i bytes =
      _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
  return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(dwords, four), bytes);
}

template <>
inline __m512i load_group<Int16Dot>(const std::int8_t* pixels, std::int64_t stride,
                                    std::int64_t count) {
  const auto load = [&](std::int64_t i) {
    return _mm512_cvtepu16_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pixels + i * stride)));
  };
  return count > 1 ? _mm512_or_si512(load(0), _mm512_slli_epi32(load(1), 16)) : load(0);
}

/// The 16 channels from c on, or fewer if there are no more.
template <class Dot, bool kWhole>
void interleave_16(const GroupedLine& l, std::int64_t c) {
  constexpr std::int64_t kPixels = 4 / Dot::kCodeBytes;
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(l.flip)), ones = Dot::ones();
  const auto mask = static_cast<__mmask16>(kWhole ? 0xffff : (1 << (l.channels - c)) - 1);
  const std::int8_t* from = l.pixels + c * Dot::kCodeBytes;
  std::uint8_t* out = l.out + c / 16 * l.panel;
  __m512i sums = _mm512_maskz_loadu_epi32(mask, l.sums + c);
  const auto put = [&](__m512i group) {
    sums = Dot::add(sums, ones, group);
    kWhole ? _mm512_storeu_si512(out, _mm512_xor_si512(group, flips))
           : _mm512_mask_storeu_epi32(out, mask, _mm512_xor_si512(group, flips));
    from += kPixels * l.stride;
    out += l.group;
  };
  for (std::int64_t g = 0; g < l.positions / kPixels; ++g)
    put(load_group<Dot>(from, l.stride, kPixels));
  if (l.positions % kPixels > 0) put(load_group<Dot>(from, l.stride, l.positions % kPixels));
  _mm512_mask_storeu_epi32(l.sums + c, mask, sums);
}

template <class Dot>
void interleave(const GroupedLine& line) {
  std::int64_t c = 0;
  for (; c + 16 <= line.channels; c += 16) interleave_16<Dot, true>(line, c);
  if (c < line.channels) interleave_16<Dot, false>(line, c);
}

/// Sums of `count` groups from group `first` on, counted over all segments.
template <class Dot, int kRows, int kPanels>
[[gnu::always_inline]] inline void grow(const SegmentProducts& s, std::int64_t row,
                                        std::int64_t panel, std::int64_t first, std::int64_t count,
                                        __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}]) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sum[i][p] = _mm512_setzero_si512();
  }
  const std::uint8_t* from = s.b + panel * s.panel + first * 64;
  while (count > 0) {
    const std::int64_t begin = first % s.groups,
                       groups = s.groups - begin < count ? s.groups - begin : count;
    const std::int8_t* at = s.a + first / s.groups * s.segment + begin * s.group + 4 * row;
    for (std::int64_t g = 0; g < groups; ++g, from += 64, at += s.group) {
      __m512i right[std::size_t{kPanels}];
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) right[p] = _mm512_loadu_si512(from + p * s.panel);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        std::int32_t group;
        __builtin_memcpy(&group, at + 4 * i, 4);
        const __m512i all = _mm512_set1_epi32(group);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) sum[i][p] = Dot::add(sum[i][p], right[p], all);
      }
    }
    first += groups;
    count -= groups;
  }
}

/// By way of memory: with wider sums in sight, compilers run out of registers in the loop before.
template <int kRows, int kPanels>
[[gnu::always_inline]] inline void store(
    const __m512i (&sum)[std::size_t{kRows}][std::size_t{kPanels}], std::int32_t* to) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) _mm512_store_si512(to + 16 * (i * kPanels + p), sum[i][p]);
  }
}

/// A tile's sums over all segments, which meet c run by run.
template <class Dot, int kRows, int kPanels>
void tile(const SegmentProducts& s, std::int64_t row, std::int64_t panel) {
  __m512i sum[std::size_t{kRows}][std::size_t{kPanels}];
  constexpr int kWidth = kPanels * 16;
  alignas(64) std::int32_t narrow[std::size_t{kRows} * kWidth];
  std::int64_t* const c = s.c + row * s.ldc + 16 * panel;
  for (std::int64_t first = 0; first < s.groups * s.segments; first += s.run) {
    const std::int64_t left = s.groups * s.segments - first, count = left < s.run ? left : s.run;
    grow<Dot, kRows, kPanels>(s, row, panel, first, count, sum);
    store<kRows, kPanels>(sum, narrow);
    for (int i = 0; i < kRows; ++i)
      add_shifted(narrow + i * kWidth, kWidth, s.shift, c + i * s.ldc);
  }
}

/// The largest tiles first, then smaller ones for the rows that are left.
template <class Dot, int kRows, int kPanels>
void rows_of(const SegmentProducts& s, std::int64_t row, std::int64_t panel) {
  for (; row + kRows <= s.rows; row += kRows) tile<Dot, kRows, kPanels>(s, row, panel);
  if constexpr (kRows > 4) {
    if (row < s.rows) rows_of<Dot, kRows - 4, kPanels>(s, row, panel);
  }
}

template <class Dot>
void add_products(const SegmentProducts& s) {
  for (std::int64_t p = 0; p < s.panels; p += 2)
    p + 1 < s.panels ? rows_of<Dot, 12, 2>(s, 0, p) : rows_of<Dot, 16, 1>(s, 0, p);
}

}  // namespace

void interleave_line_int8_avx512(const GroupedLine& line) { interleave<Int8Dot>(line); }
void interleave_line_int16_avx512(const GroupedLine& line) { interleave<Int16Dot>(line); }
void add_products_int8_avx512(const SegmentProducts& products) { add_products<Int8Dot>(products); }
void add_products_int16_avx512(const SegmentProducts& products) {
  add_products<Int16Dot>(products);
}

}  // namespace ebb::kernels
