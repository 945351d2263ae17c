#include "core/kernels/sum_rows.h"

#define EBB_SUMS sums_avx2
#define EBB_LANES 4
#include "core/kernels/sum_rows.inc"
