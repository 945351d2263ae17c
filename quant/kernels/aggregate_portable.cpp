#include <cstddef>

#include "quant/kernels/aggregate.h"

#define EBB_AGGREGATE aggregate_portable
#define EBB_LANES 4u
#include "quant/kernels/aggregate.inc"
