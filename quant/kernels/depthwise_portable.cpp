#include <cstddef>
#include <cstdint>

#include "quant/kernels/depthwise.h"
#include "quant/kernels/fma.h"

namespace {

template <class Floats>
inline void fma_of_lanes(const Floats& x, const Floats& y, Floats& sum) {
  for (std::size_t i = 0; i < sizeof sum / sizeof(float); ++i) sum[i] = ebb::kernels::fma_of(x[i], y[i], sum[i]);
}

template <class Code, class Ints>
inline void widen(const Code* from, Ints& ints) {
  for (std::size_t i = 0; i < sizeof ints / sizeof(std::int32_t); ++i) ints[i] = static_cast<std::int32_t>(from[i]);
}

}  // namespace

#define EBB_DEPTHWISE depthwise_portable
#define EBB_LANES 4u
#define EBB_FMA fma_of_lanes
#define EBB_WIDEN widen
#include "quant/kernels/depthwise.inc"
