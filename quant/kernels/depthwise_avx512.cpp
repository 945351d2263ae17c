#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/depthwise.h"

#define EBB_DEPTHWISE depthwise_avx512
#define EBB_LANES 16u
#define EBB_FMA(x, y, sum) sum = _mm512_fmadd_ps(x, y, sum)
#include "quant/kernels/depthwise.inc"
