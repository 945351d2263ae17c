#include <cstddef>
#include <cstdint>

#include "quant/kernels/depthwise.h"
#include "quant/kernels/fma.h"

namespace {

template <class Floats>
inline void fma_of_lanes(const Floats& x, const Floats& y, Floats& sum) {
  for (std::size_t i = 0; i < sizeof sum / sizeof(float); ++i)
    sum[i] = ebb::kernels::fma_of(x[i], y[i], sum[i]);
}

using FourBytes __attribute__((vector_size(4))) = std::int8_t;
using FourWords __attribute__((vector_size(8))) = std::int16_t;

template <class Ints>
inline void widen(const std::int8_t* from, Ints& ints) {
  FourBytes bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  ints = __builtin_convertvector(bytes, Ints);
}
template <class Ints>
inline void widen(const std::int16_t* from, Ints& ints) {
  FourWords words;
  __builtin_memcpy(&words, from, sizeof words);
  ints = __builtin_convertvector(words, Ints);
}

}  // namespace

#define EBB_DEPTHWISE depthwise_portable
#define EBB_LANES 4u
#define EBB_FMA fma_of_lanes
#define EBB_WIDEN widen
#include "quant/kernels/depthwise.inc"
