#include "quant/kernels/table/lookup.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// For one k all entries are in one row of the table, 512 bytes. AVX-512 holds it in 8 registers and
// permutes it, 32 columns at a time. One entry after the other is faster than to gather them.
namespace ebb::kernels {
namespace {

#if defined(__AVX512F__)

// The entries of 32 indices: bits 0 to 5 choose in a pair of registers, 6 and 7 among four pairs.
inline __m512i entries_of(const __m512i* row, __m512i index) {
  const __mmask32 bit6 = _mm512_test_epi16_mask(index, _mm512_set1_epi16(64)),
                  bit7 = _mm512_test_epi16_mask(index, _mm512_set1_epi16(128));
  const __m512i first = _mm512_permutex2var_epi16(row[0], index, row[1]),
                second = _mm512_permutex2var_epi16(row[2], index, row[3]),
                third = _mm512_permutex2var_epi16(row[4], index, row[5]),
                fourth = _mm512_permutex2var_epi16(row[6], index, row[7]);
  return _mm512_mask_blend_epi16(bit7, _mm512_mask_blend_epi16(bit6, first, second),
                                 _mm512_mask_blend_epi16(bit6, third, fourth));
}

inline void add_row(const std::uint16_t* table, const std::uint8_t* b, std::int64_t cols,
                    std::uint32_t* sums) {
  __m512i row[8];
  for (int i = 0; i < 8; ++i) row[i] = _mm512_loadu_si512(table + 32 * i);
  for (std::int64_t j = 0; j < cols; j += kLookupColumns) {
    const __m512i index =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + j)));
    const __m512i found = entries_of(row, index);
    const __m512i even = _mm512_and_si512(found, _mm512_set1_epi32(0xffff)),
                  odd = _mm512_srli_epi32(found, 16);
    _mm512_storeu_si512(sums + j, _mm512_add_epi32(_mm512_loadu_si512(sums + j), even));
    _mm512_storeu_si512(sums + j + 16, _mm512_add_epi32(_mm512_loadu_si512(sums + j + 16), odd));
  }
}

/// Even entries of a register are those of columns 0 to 15.
constexpr int column_of(int place) { return place / 2 + place % 2 * 16; }

#else

inline void add_row(const std::uint16_t* table, const std::uint8_t* b, std::int64_t cols,
                    std::uint32_t* sums) {
  for (std::int64_t j = 0; j < cols; ++j) sums[j] += table[b[j]];
}

constexpr int column_of(int place) { return place; }

#endif

void add_rows(const LookupRun& run) {
  for (std::int64_t k = 0; k < run.k; ++k) {
    const std::int16_t a = run.a[k * run.a_k];
    if (a != 0) add_row(run.table + 256 * (a - 1), run.b + k * run.cols, run.cols, run.sums);
  }
}

}  // namespace

const LookupKernels LookupKernels::EBB_TARGET{add_rows, column_of};

}  // namespace ebb::kernels
