#include "layers/kernels/norm_rows.h"

#define EBB_NORM norm_avx512
#define EBB_LANES 16
#include "layers/kernels/norm_rows.inc"
