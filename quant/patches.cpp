#include "quant/patches.h"

#include "core/parallel.h"
#include "quant/kernels/conv/gather.h"

namespace ebb {

Tensor patch_matrix(const float* image, const PatchGeometry& geometry) {
  const std::int64_t cols = geometry.cols();
  Tensor patches = Tensor::uninitialized({geometry.rows(), cols});
  parallel_rows(geometry.rows(), cols, [&](std::int64_t first, std::int64_t last) {
    kernels::gather_patch_rows(geometry, image, first, last - first, patches.data() + first * cols,
                               cols);
  });
  return patches;
}

}  // namespace ebb
