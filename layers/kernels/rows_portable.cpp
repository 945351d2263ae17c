#include "layers/kernels/rows.h"

#define EBB_ROWS rows_portable
#define EBB_LANES 2
#include "layers/kernels/rows.inc"
