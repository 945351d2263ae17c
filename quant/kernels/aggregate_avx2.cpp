#include <cstddef>

#include "quant/kernels/aggregate.h"

#define EBB_AGGREGATE aggregate_avx2
#define EBB_LANES 8u
#include "quant/kernels/aggregate.inc"
