#pragma once

#include <cstdint>
#include <optional>

#include "quant/formats/format.h"
#include "quant/patches.h"

namespace ebb {

/// A read-only [rows, cols] matrix of stored codes (or of float32 values), as kernels see it: dense
/// with strides, or gathered from an image by a patch geometry; either may be transposed.
struct CodeMatrix {
  using Container = ebb::Container;

  const void* data = nullptr;
  Container container = Container::int8;
  std::int64_t rows = 0, cols = 0;
  std::int64_t row_stride = 0, col_stride = 1;  ///< dense only
  std::optional<PatchGeometry> patches;         ///< of the untransposed matrix
  bool patches_transposed = false;
  std::int64_t charged_rows = -1, charged_cols = -1;  ///< what the ledger counts instead, if not -1

  [[nodiscard]] CodeMatrix transposed() const {
    CodeMatrix t = *this;
    t.rows = cols;
    t.cols = rows;
    t.row_stride = col_stride;
    t.col_stride = row_stride;
    t.patches_transposed = !patches_transposed;
    t.charged_rows = charged_cols;
    t.charged_cols = charged_rows;
    return t;
  }

  /// Element offset of (i, j) from data, or -1 for a padded tap.
  [[nodiscard]] std::int64_t offset(std::int64_t i, std::int64_t j) const {
    if (!patches) return i * row_stride + j * col_stride;
    const PatchGeometry& g = *patches;
    const std::int64_t row = patches_transposed ? j : i, col = patches_transposed ? i : j;
    const std::int64_t x = row % g.out_width, y = row / g.out_width % g.out_height,
                       image = row / (g.out_width * g.out_height);
    const std::int64_t channel = col % g.channels, kx = col / g.channels % g.taps_x,
                       ky = col / (g.channels * g.taps_x);
    const std::int64_t sy = g.source_y(y, ky), sx = g.source_x(x, kx);
    if (sy < 0 || sx < 0) return -1;
    return ((image * g.height + sy) * g.width + sx) * g.pixel_stride + channel;
  }

  /// The stored code at an offset; a padded tap (-1) is 0.
  [[nodiscard]] std::int32_t code_at(std::int64_t at) const {
    if (at < 0) return 0;
    return container == Container::int8 ? static_cast<const std::int8_t*>(data)[at]
                                        : static_cast<const std::int16_t*>(data)[at];
  }
  [[nodiscard]] float value_at(std::int64_t at) const {
    return at < 0 ? 0.0f : static_cast<const float*>(data)[at];
  }
};

}  // namespace ebb
