#include "layers/kernels/rows.h"

#define EBB_ROWS rows_avx512
#define EBB_LANES 8
#include "layers/kernels/rows.inc"
