#include "core/kernels/sum_rows.h"

#define EBB_SUMS sums_portable
#define EBB_LANES 2
#include "core/kernels/sum_rows.inc"
