#include "layers/kernels/norm_rows.h"

#define EBB_NORM norm_portable
#define EBB_LANES 4
#include "layers/kernels/norm_rows.inc"
