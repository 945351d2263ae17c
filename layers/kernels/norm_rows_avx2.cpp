#include "layers/kernels/norm_rows.h"

#define EBB_NORM norm_avx2
#define EBB_LANES 8
#include "layers/kernels/norm_rows.inc"
