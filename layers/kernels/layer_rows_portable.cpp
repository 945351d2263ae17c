#include "layers/kernels/layer_rows.h"

#define EBB_LAYER layer_portable
#define EBB_LANES 2
#include "layers/kernels/layer_rows.inc"
