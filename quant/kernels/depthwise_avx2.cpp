#include <immintrin.h>

#include <cstddef>

#include "quant/kernels/depthwise.h"

#define EBB_DEPTHWISE depthwise_avx2
#define EBB_LANES 8u
#define EBB_FMA(x, y, sum) sum = _mm256_fmadd_ps(x, y, sum)
#include "quant/kernels/depthwise.inc"
