#include "core/kernels/sum_rows.h"

#define EBB_SUMS sums_avx2
#include "core/kernels/sum_rows.inc"
