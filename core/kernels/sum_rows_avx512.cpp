#include "core/kernels/sum_rows.h"

#define EBB_SUMS sums_avx512
#define EBB_LANES 8
#include "core/kernels/sum_rows.inc"
