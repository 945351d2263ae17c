#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace ebb {

/// How the rows of a patch matrix are gathered from an image tensor [images, height, width,
/// channels]. Row (image, y, x) over the out_height x out_width positions holds, for every tap (ky,
/// kx) and channel, the element at
///   source_y = (y * step + ky - pad_top) / divide,  source_x likewise,
/// or an exact zero where that is not an integer or lies outside the image. Columns are ordered
/// (ky, kx, channel).
///
/// A convolution's forward product gathers its input with step = stride and divide = 1; grad_left
/// gathers the output's gradient with step = 1 and divide = stride.
struct PatchGeometry {
  std::int64_t images = 0, height = 0, width = 0, channels = 0;
  std::int64_t pixel_stride = 0;  ///< elements from one pixel to the next: all channels of the
                                  ///< tensor, `channels` being a group's
  std::int64_t out_height = 0, out_width = 0;
  std::int64_t taps_y = 0, taps_x = 0;
  std::int64_t step = 1, divide = 1, pad_top = 0, pad_left = 0;
  std::int64_t nominal_positions = 0;  ///< positions that the ledger charges: those of the
                                       ///< convolution's output, for all its products

  [[nodiscard]] constexpr std::int64_t rows() const { return images * out_height * out_width; }
  [[nodiscard]] constexpr std::int64_t cols() const { return taps_y * taps_x * channels; }
  /// Source coordinate of a tap, or -1 where the tap is a padded zero.
  [[nodiscard]] constexpr std::int64_t source(std::int64_t position, std::int64_t tap,
                                              std::int64_t pad, std::int64_t extent) const {
    const std::int64_t scaled = position * step + tap - pad;
    if (divide == 1)
      return scaled >= 0 && scaled < extent ? scaled : -1;  // spares the usual case two divisions
    if (scaled < 0 || scaled % divide != 0 || scaled / divide >= extent) return -1;
    return scaled / divide;
  }
  [[nodiscard]] constexpr std::int64_t source_y(std::int64_t y, std::int64_t ky) const {
    return source(y, ky, pad_top, height);
  }
  [[nodiscard]] constexpr std::int64_t source_x(std::int64_t x, std::int64_t kx) const {
    return source(x, kx, pad_left, width);
  }
  friend bool operator==(const PatchGeometry&, const PatchGeometry&) = default;
};

/// The patch matrix [rows, cols] of an image of float32 numbers, in memory of its own.
Tensor patch_matrix(const float* image, const PatchGeometry& geometry);

}  // namespace ebb
