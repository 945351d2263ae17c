#include <cstddef>

#include "quant/kernels/aggregate.h"

#define EBB_AGGREGATE aggregate_avx512
#define EBB_LANES 16u
#include "quant/kernels/aggregate.inc"
