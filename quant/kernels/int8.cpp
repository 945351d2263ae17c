#include "quant/kernels/int8.h"

#include <algorithm>
#include <cstring>

#include "quant/kernels/gather.h"

namespace ebb::kernels {

void pack_panel(const CodeMatrix& b, std::int64_t first, std::int64_t k, std::int64_t col, std::uint8_t flip, std::uint8_t* out) {
  const std::int64_t groups = (k + 3) / 4;
  if (b.row_stride != 1 || b.col_stride == 1) {
    return interleave_by_four(int8_codes(b) + first * b.row_stride + col, b.row_stride, k, 16, flip, out, 64);
  }
  const std::uint8_t all[4] = {flip, flip, flip, flip};
  for (std::int64_t j = 0; j < 16; ++j) {
    const std::int8_t* const column = int8_codes(b) + std::min(col + j, b.cols - 1) * b.col_stride + first;
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto bytes = static_cast<std::size_t>(std::min<std::int64_t>(4, k - 4 * g));
      std::uint32_t four = 0, flips = 0;
      std::memcpy(&four, column + 4 * g, bytes);
      std::memcpy(&flips, all, bytes);
      four ^= flips;
      std::memcpy(out + 64 * g + 4 * j, &four, 4);
    }
  }
}

}  // namespace ebb::kernels
