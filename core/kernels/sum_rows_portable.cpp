#include "core/kernels/sum_rows.h"

#define EBB_SUM_ROWS sum_rows_portable
#include "core/kernels/sum_rows.inc"
