#include "layers/kernels/functions.h"

#define EBB_FUNCTIONS functions_portable
#define EBB_LANES 4
#include "layers/kernels/functions.inc"
