#include <immintrin.h>

#include "quant/kernels/saturate_loops.h"

namespace ebb::kernels {
namespace {

/// 32 registers of up to 16 bits. Saturating and wrapping addition differ exactly where a 16-bit
/// register overflows; narrower ones are clamped besides.
template <bool kHoldProducts, bool kClamp>
struct Narrow {
  using Vector = __m512i;
  static constexpr int kLanes = 32, kVectors = 2;
  __m512i low, high;

  static __m512i zero() { return _mm512_setzero_si512(); }
  static __m512i load_sums(const std::int32_t* c) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_loadu_si512(c))),
                              _mm512_cvtepi32_epi16(_mm512_loadu_si512(c + 16)), 1);
  }
  static void store_sums(std::int32_t* c, __m512i s) {
    _mm512_storeu_si512(c, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(s)));
    _mm512_storeu_si512(c + 16, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(s, 1)));
  }
  static __m512i load_b(const std::int16_t* b) { return _mm512_loadu_si512(b); }
  static __m512i broadcast(std::int16_t a) { return _mm512_set1_epi16(a); }
  [[nodiscard]] __m512i clamp(__m512i x) const {
    return _mm512_min_epi16(_mm512_max_epi16(x, low), high);
  }

  __m512i step(__m512i sum, __m512i a, __m512i b, __m512i& events) const {
    const __m512i product = _mm512_mullo_epi16(a, b),
                  term = kHoldProducts ? clamp(product) : product;
    const __m512i next = _mm512_adds_epi16(sum, term), held = kClamp ? clamp(next) : next;
    if (kHoldProducts) events = count(events, _mm512_cmpneq_epi16_mask(term, product));
    events = count(events, _mm512_cmpneq_epi16_mask(held, _mm512_add_epi16(sum, term)));
    return held;
  }
  static __m512i count(__m512i events, __mmask32 mask) {
    return _mm512_mask_sub_epi16(events, mask, events, _mm512_set1_epi16(-1));
  }
  static std::uint64_t total(__m512i events) {
    const __m512i pairs = _mm512_add_epi32(_mm512_and_si512(events, _mm512_set1_epi32(0xffff)),
                                           _mm512_srli_epi32(events, 16));
    return static_cast<std::uint64_t>(_mm512_reduce_add_epi32(pairs));
  }
};

/// 16 registers of up to 31 bits: a held sum and a held product always add up within 32.
struct Wide {
  using Vector = __m512i;
  static constexpr int kLanes = 16, kVectors = 4;
  __m512i low, high;

  static __m512i zero() { return _mm512_setzero_si512(); }
  static __m512i load_sums(const std::int32_t* c) { return _mm512_loadu_si512(c); }
  static void store_sums(std::int32_t* c, __m512i s) { _mm512_storeu_si512(c, s); }
  static __m512i load_b(const std::int16_t* b) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)));
  }
  /// The upper half of each pair is zero: pmaddwd then is one exact product.
  static __m512i broadcast(std::int16_t a) {
    return _mm512_set1_epi32(static_cast<std::uint16_t>(a));
  }
  [[nodiscard]] __m512i clamp(__m512i x) const {
    return _mm512_min_epi32(_mm512_max_epi32(x, low), high);
  }

  __m512i step(__m512i sum, __m512i a, __m512i b, __m512i& events) const {
    const __m512i product = _mm512_madd_epi16(a, b), term = clamp(product);
    const __m512i next = _mm512_add_epi32(sum, term), held = clamp(next);
    events = count(events, _mm512_cmpneq_epi32_mask(term, product));
    events = count(events, _mm512_cmpneq_epi32_mask(held, next));
    return held;
  }
  static __m512i count(__m512i events, __mmask16 mask) {
    return _mm512_mask_sub_epi32(events, mask, events, _mm512_set1_epi32(-1));
  }
  static std::uint64_t total(__m512i events) {
    return static_cast<std::uint64_t>(_mm512_reduce_add_epi32(events));
  }
};

std::uint64_t narrow(const SaturateRun& run, int rows) {
  const __m512i low = _mm512_set1_epi16(static_cast<short>(run.low)),
                high = _mm512_set1_epi16(static_cast<short>(run.high));
  if (run.hold_products) return saturate_panel(run, rows, Narrow<true, true>{low, high});
  return run.high == 32767 ? saturate_panel(run, rows, Narrow<false, false>{low, high})
                           : saturate_panel(run, rows, Narrow<false, true>{low, high});
}
std::uint64_t wide(const SaturateRun& run, int rows) {
  return saturate_panel(run, rows, Wide{_mm512_set1_epi32(run.low), _mm512_set1_epi32(run.high)});
}

constexpr SaturateMicrokernel kMicro{narrow, wide};

}  // namespace

const SaturateMicrokernel& saturate_avx512() { return kMicro; }

}  // namespace ebb::kernels
