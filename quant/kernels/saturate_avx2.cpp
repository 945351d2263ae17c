#include <immintrin.h>

#include "quant/kernels/saturate_loops.h"

namespace ebb::kernels {
namespace {

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// 16 registers of up to 16 bits. Saturating and wrapping addition differ exactly where a 16-bit
/// register overflows; narrower ones are clamped besides.
template <bool kHoldProducts, bool kClamp>
struct Narrow {
  using Vector = __m256i;
  static constexpr int kLanes = 16, kVectors = 2;
  __m256i low, high;

  static __m256i zero() { return _mm256_setzero_si256(); }
  static __m256i load_sums(const std::int32_t* c) {
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(load(c), load(c + 8)), 0xd8);
  }
  static void store_sums(std::int32_t* c, __m256i s) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c),
                        _mm256_cvtepi16_epi32(_mm256_castsi256_si128(s)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + 8),
                        _mm256_cvtepi16_epi32(_mm256_extracti128_si256(s, 1)));
  }
  static __m256i load_b(const std::int16_t* b) { return load(b); }
  static __m256i broadcast(std::int16_t a) { return _mm256_set1_epi16(a); }
  [[nodiscard]] __m256i clamp(__m256i x) const {
    return _mm256_min_epi16(_mm256_max_epi16(x, low), high);
  }

  __m256i step(__m256i sum, __m256i a, __m256i b, __m256i& events) const {
    const __m256i product = _mm256_mullo_epi16(a, b),
                  term = kHoldProducts ? clamp(product) : product;
    const __m256i next = _mm256_adds_epi16(sum, term), held = kClamp ? clamp(next) : next;
    if (kHoldProducts) events = count(events, _mm256_cmpeq_epi16(term, product));
    events = count(events, _mm256_cmpeq_epi16(held, _mm256_add_epi16(sum, term)));
    return held;
  }
  static __m256i count(__m256i events, __m256i same) {
    return _mm256_add_epi16(events, _mm256_andnot_si256(same, _mm256_set1_epi16(1)));
  }
  static std::uint64_t total(__m256i events) {
    std::uint16_t each[16];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(each), events);
    std::uint64_t sum = 0;
    for (const std::uint16_t e : each) sum += e;
    return sum;
  }
};

/// 8 registers of up to 31 bits: a held sum and a held product always add up within 32.
struct Wide {
  using Vector = __m256i;
  static constexpr int kLanes = 8, kVectors = 2;
  __m256i low, high;

  static __m256i zero() { return _mm256_setzero_si256(); }
  static __m256i load_sums(const std::int32_t* c) { return load(c); }
  static void store_sums(std::int32_t* c, __m256i s) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c), s);
  }
  static __m256i load_b(const std::int16_t* b) {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b)));
  }
  /// The upper half of each pair is zero: pmaddwd then is one exact product.
  static __m256i broadcast(std::int16_t a) {
    return _mm256_set1_epi32(static_cast<std::uint16_t>(a));
  }
  [[nodiscard]] __m256i clamp(__m256i x) const {
    return _mm256_min_epi32(_mm256_max_epi32(x, low), high);
  }

  __m256i step(__m256i sum, __m256i a, __m256i b, __m256i& events) const {
    const __m256i product = _mm256_madd_epi16(a, b), term = clamp(product);
    const __m256i next = _mm256_add_epi32(sum, term), held = clamp(next);
    events = count(events, _mm256_cmpeq_epi32(term, product));
    events = count(events, _mm256_cmpeq_epi32(held, next));
    return held;
  }
  static __m256i count(__m256i events, __m256i same) {
    return _mm256_add_epi32(events, _mm256_andnot_si256(same, _mm256_set1_epi32(1)));
  }
  static std::uint64_t total(__m256i events) {
    std::uint32_t each[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(each), events);
    std::uint64_t sum = 0;
    for (const std::uint32_t e : each) sum += e;
    return sum;
  }
};

std::uint64_t narrow(const SaturateRun& run, int rows) {
  const __m256i low = _mm256_set1_epi16(static_cast<short>(run.low)),
                high = _mm256_set1_epi16(static_cast<short>(run.high));
  if (run.hold_products) return saturate_panel(run, rows, Narrow<true, true>{low, high});
  return run.high == 32767 ? saturate_panel(run, rows, Narrow<false, false>{low, high})
                           : saturate_panel(run, rows, Narrow<false, true>{low, high});
}
std::uint64_t wide(const SaturateRun& run, int rows) {
  return saturate_panel(run, rows, Wide{_mm256_set1_epi32(run.low), _mm256_set1_epi32(run.high)});
}

constexpr SaturateMicrokernel kMicro{narrow, wide};

}  // namespace

const SaturateMicrokernel& saturate_avx2() { return kMicro; }

}  // namespace ebb::kernels
