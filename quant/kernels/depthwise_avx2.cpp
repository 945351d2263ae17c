#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "quant/kernels/depthwise.h"

namespace {

template <class Ints>
inline void widen(const std::int8_t* from, Ints& ints) {
  ints = reinterpret_cast<Ints>(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
template <class Ints>
inline void widen(const std::int16_t* from, Ints& ints) {
  ints = reinterpret_cast<Ints>(
      _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}

}  // namespace

#define EBB_DEPTHWISE depthwise_avx2
#define EBB_LANES 8u
#define EBB_FMA(x, y, sum) sum = _mm256_fmadd_ps(x, y, sum)
#define EBB_WIDEN widen
#include "quant/kernels/depthwise.inc"
