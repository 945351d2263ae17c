#include "layers/kernels/rows.h"

#define EBB_ROWS rows_avx2
#define EBB_LANES 4
#include "layers/kernels/rows.inc"
