#include "core/kernels/sum_rows.h"

#define EBB_SUM_ROWS sum_rows_avx2
#include "core/kernels/sum_rows.inc"
