#include "layers/kernels/layer_rows.h"

#define EBB_LAYER layer_avx2
#define EBB_LANES 4
#include "layers/kernels/layer_rows.inc"
