#include <cstddef>

#include "quant/kernels/depthwise.h"
#include "quant/kernels/fma.h"

namespace {

template <class Floats>
inline void fma_of_lanes(const Floats& x, const Floats& y, Floats& sum) {
  for (std::size_t i = 0; i < sizeof sum / sizeof(float); ++i) sum[i] = ebb::kernels::fma_of(x[i], y[i], sum[i]);
}

}  // namespace

#define EBB_DEPTHWISE depthwise_portable
#define EBB_LANES 4u
#define EBB_FMA fma_of_lanes
#include "quant/kernels/depthwise.inc"
