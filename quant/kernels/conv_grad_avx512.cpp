#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/micro.h"

// The weights' gradient of convolutions: interleaving lines of pixels, and products of interleaved lines whose rows lie 4 bytes
// apart. The distance is a constant because the compiler would keep run-time row addresses in vector registers.
namespace ebb::kernels {
namespace {

/// Dword 4 q + p is channel group q of pixel p; then the bytes of each lane from [pixel][channel] to [channel][pixel].
inline __m512i channels_first(__m512i pixels) {
  const __m512i dwords = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
  return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(dwords, pixels), bytes);
}

/// 16 channels of `count` pixels; those missing are zeros.
inline __m512i load_pixels(const std::int8_t* pixels, std::int64_t hop, std::int64_t count) {
  const auto load = [&](std::int64_t i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels + i * hop)); };
  __m512i four = _mm512_zextsi128_si512(load(0));
  if (count > 1) four = _mm512_inserti32x4(four, load(1), 1);
  if (count > 2) four = _mm512_inserti32x4(four, load(2), 2);
  if (count > 3) four = _mm512_inserti32x4(four, load(3), 3);
  return four;
}

/// The 16 channels from c on, or fewer if there are no more.
template <bool kWhole>
void interleave_16(const GroupedLine& l, std::int64_t c) {
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(l.flip)), ones = _mm512_set1_epi8(1);
  const auto mask = static_cast<__mmask16>(kWhole ? 0xffff : (1 << (l.channels - c)) - 1);
  const std::int8_t* from = l.pixels + c;
  std::uint8_t* out = l.out + 4 * c;
  __m512i sums = _mm512_maskz_loadu_epi32(mask, l.sums + c);
  const auto put = [&](__m512i pixels) {
    const __m512i group = channels_first(pixels);
    sums = _mm512_dpbusd_epi32(sums, ones, group);
    kWhole ? _mm512_storeu_si512(out, _mm512_xor_si512(group, flips))
           : _mm512_mask_storeu_epi32(out, mask, _mm512_xor_si512(group, flips));
    from += 4 * l.hop;
    out += l.group;
  };
  const std::int64_t whole = l.positions / 4;
  if (l.hop == 16) {
    for (std::int64_t g = 0; g < whole; ++g) put(_mm512_loadu_si512(from));
  } else {
    for (std::int64_t g = 0; g < whole; ++g) put(load_pixels(from, l.hop, 4));
  }
  if (l.positions % 4 > 0) put(load_pixels(from, l.hop, l.positions % 4));
  _mm512_mask_storeu_epi32(l.sums + c, mask, sums);
}

template <int kRows, int kPanels>
void tile(const Int8Left& a, const Int8Right& b, std::int32_t* c, std::int64_t ldc) {
  __m512i sum[std::size_t{kRows}][std::size_t{kPanels}];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sum[i][p] = _mm512_loadu_si512(c + i * ldc + 16 * p);
  }
  const std::uint8_t* from = b.data;
  for (std::int64_t s = 0; s < b.segments; ++s) {
    const std::int8_t* left = a.data + s * a.segment;
    for (std::int64_t g = 0; g < b.groups; ++g, from += b.group, left += a.group) {
      __m512i right[std::size_t{kPanels}];
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) right[p] = _mm512_loadu_si512(from + 64 * p);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        std::int32_t four;
        __builtin_memcpy(&four, left + 4 * i, 4);
        const __m512i all = _mm512_set1_epi32(four);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) sum[i][p] = _mm512_dpbusd_epi32(sum[i][p], right[p], all);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) _mm512_storeu_si512(c + i * ldc + 16 * p, sum[i][p]);
  }
}

/// The largest tiles first, then smaller ones for the rows that are left.
template <int kRows, int kPanels>
void rows_of(Int8Left a, const Int8Right& b, std::int64_t rows, std::int32_t* c, std::int64_t ldc) {
  std::int64_t i = 0;
  for (; i + kRows <= rows; i += kRows) {
    tile<kRows, kPanels>(a, b, c + i * ldc, ldc);
    a.data += 4 * kRows;
  }
  if constexpr (kRows > 4) {
    if (i < rows) rows_of<kRows - 4, kPanels>(a, b, rows - i, c + i * ldc, ldc);
  }
}

}  // namespace

void interleave_avx512(const GroupedLine& line) {
  std::int64_t c = 0;
  for (; c + 16 <= line.channels; c += 16) interleave_16<true>(line, c);
  if (c < line.channels) interleave_16<false>(line, c);
}

void add_products_avx512(const Int8Left& a, const Int8Right& b, std::int64_t rows, std::int64_t panels, std::int32_t* c,
                         std::int64_t ldc) {
  Int8Right right = b;
  for (std::int64_t p = 0; p < panels; p += 2, right.data += 128) {
    p + 1 < panels ? rows_of<12, 2>(a, right, rows, c + 16 * p, ldc) : rows_of<16, 1>(a, right, rows, c + 16 * p, ldc);
  }
}

}  // namespace ebb::kernels
