#include "layers/kernels/functions.h"

#define EBB_FUNCTIONS functions_avx512
#define EBB_LANES 16
#include "layers/kernels/functions.inc"
