#include "layers/kernels/layer_rows.h"

#define EBB_LAYER layer_avx512
#define EBB_LANES 8
#include "layers/kernels/layer_rows.inc"
