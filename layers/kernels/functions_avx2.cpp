#include "layers/kernels/functions.h"

#define EBB_FUNCTIONS functions_avx2
#define EBB_LANES 8
#include "layers/kernels/functions.inc"
