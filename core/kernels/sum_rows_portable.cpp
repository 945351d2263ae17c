#include "core/kernels/sum_rows.h"

#define EBB_SUMS sums_portable
#include "core/kernels/sum_rows.inc"
