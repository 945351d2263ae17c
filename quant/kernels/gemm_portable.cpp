#include "quant/kernels/fma.h"
#include "quant/kernels/micro.h"

namespace ebb::kernels {
namespace {

void float_multiply(const float* a, std::int64_t a_row, std::int64_t a_k, const float* b,
                    std::int64_t b_panel, std::int64_t k, int rows, int panels, float* c,
                    std::int64_t ldc) {
  for (int p = 0; p < panels; ++p) {
    const float* const panel = b + p * b_panel;
    for (int i = 0; i < rows; ++i) {
      float* const sum = c + i * ldc + 16 * p;
      for (std::int64_t s = 0; s < k; ++s) {
        const float all = a[i * a_row + s * a_k];
        for (std::int64_t j = 0; j < kPanel; ++j) sum[j] = fma_of(all, panel[16 * s + j], sum[j]);
      }
    }
  }
}

constexpr FloatMicro kFloat{{0, 8, 8, 8, 8}, float_multiply};

}  // namespace

const FloatMicro& float_portable() { return kFloat; }

}  // namespace ebb::kernels
