#include "quant/transform.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/text.h"

namespace ebb {
namespace {

constexpr std::int64_t kOrder = 16;
constexpr std::array<const char*, 2> kNames{"none", "hadamard16"};

/// The transform of 16 elements that lie `stride` apart, of which the first `count` are there.
void transform(const float* x, std::int64_t stride, std::int64_t count, float* y,
               std::int64_t y_stride) {
  std::array<float, kOrder> v{};
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = x[i * stride];
    v[static_cast<std::size_t>(i)] = (kHadamardSigns >> i & 1) != 0 ? -value : value;
  }
  for (std::size_t apart = 1; apart < kOrder; apart *= 2) {
    for (std::size_t i = 0; i < kOrder; ++i) {
      if ((i & apart) != 0) continue;
      const float a = v[i], b = v[i + apart];
      v[i] = a + b;
      v[i + apart] = a - b;
    }
  }
  for (std::int64_t i = 0; i < kOrder; ++i)
    y[i * y_stride] = v[static_cast<std::size_t>(i)] * 0.25f;
}

}  // namespace

std::string to_text(Transform transform) { return kNames[static_cast<std::size_t>(transform)]; }

Transform parse_transform(std::string_view text) {
  const auto* const found = std::ranges::find(kNames, text);
  const std::vector<std::string> known(kNames.begin(), kNames.end());
  require<ConfigError>(found != kNames.end(), unknown_word("transform", text, known));
  return static_cast<Transform>(found - kNames.begin());
}

Tensor hadamard16(const ConstMatrix& x, int axis) {
  const ConstMatrix from = axis == 1 ? x.transposed() : x;  // down its columns
  const std::int64_t groups = (from.rows + kOrder - 1) / kOrder, padded = groups * kOrder;
  Tensor y = Tensor::uninitialized(axis == 1 ? Shape{x.rows, padded} : Shape{padded, x.cols});
  const std::int64_t down = axis == 1 ? 1 : x.cols, across = axis == 1 ? padded : 1;
  parallel_rows(groups, kOrder * from.cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first * kOrder; row < last * kOrder; row += kOrder) {
      for (std::int64_t col = 0; col < from.cols; ++col) {
        transform(from.data + row * from.row_stride + col * from.col_stride, from.row_stride,
                  std::min(kOrder, from.rows - row), y.data() + row * down + col * across, down);
      }
    }
  });
  return y;
}

}  // namespace ebb
