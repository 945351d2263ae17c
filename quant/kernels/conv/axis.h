#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "quant/patches.h"

namespace ebb::kernels {

/// One axis of a convolution that runs over all pixels of its source: position i of `count` reads
/// source i * step + j - pad for its taps j, and is position first + i * stride of the patch
/// matrix; tap j is its tap first_tap + j * stride.
///
/// A patch axis whose sources lie `divide` positions apart is that many such axes, one per residue:
/// positions of one residue meet the same taps, and the taps between them would only multiply
/// zeros.
struct ConvAxis {
  std::int64_t first, stride, count;
  std::int64_t first_tap, taps;
  std::int64_t step, pad, extent;

  /// Taps of position i that fall inside the source, as [begin, end).
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> valid(std::int64_t i) const {
    const std::int64_t at = i * step - pad;
    const std::int64_t begin = std::clamp<std::int64_t>(-at, 0, taps);
    return {begin, std::clamp<std::int64_t>(extent - at, begin, taps)};
  }
  /// What all positions read of the source: `count` from `first` on, after so many zeros.
  struct Inside {
    std::int64_t zeros, first, count;
  };
  [[nodiscard]] Inside inside() const {
    const std::int64_t zeros = std::max<std::int64_t>(0, pad),
                       skip = std::max<std::int64_t>(0, -pad);
    return {zeros, skip, std::max<std::int64_t>(0, std::min(extent - skip, reach(count) - zeros))};
  }
  /// Source lines from the first tap of position 0 to the last one of position count - 1.
  [[nodiscard]] std::int64_t reach(std::int64_t positions) const {
    return (positions - 1) * step + taps;
  }
};

/// Calls copy(pixel, pixels, to) for every padded line under positions top .. top + height of an
/// image: those pixels from `pixel` of all images on go to `to`, and the sides of the line, which
/// are zeros, stay. Lines beyond the image become zeros. Line i begins at to + i * line.
template <class Number, class Copy>
void pad_lines(const ConvAxis& y, const ConvAxis& x, const PatchGeometry& g, std::int64_t image,
               std::int64_t top, std::int64_t height, std::int64_t pixel, std::int64_t line,
               Number* to, const Copy& copy) {
  const ConvAxis::Inside inside = x.inside();
  for (std::int64_t i = 0; i < y.reach(height); ++i, to += line) {
    const std::int64_t source = top * y.step + i - y.pad;
    if (source < 0 || source >= g.height || inside.count == 0) {
      std::fill_n(to, line, Number{});
    } else {
      copy((image * g.height + source) * g.width + inside.first, inside.count,
           to + inside.zeros * pixel);
    }
  }
}

/// The axes of one direction; out, taps, pad and extent are the patch geometry's of that direction.
inline std::vector<ConvAxis> conv_axes(const PatchGeometry& g, std::int64_t out, std::int64_t taps,
                                       std::int64_t pad, std::int64_t extent) {
  std::vector<ConvAxis> axes;
  for (std::int64_t residue = 0; residue < std::min(g.divide, out); ++residue) {
    const std::int64_t first_tap = ((pad - residue) % g.divide + g.divide) % g.divide;
    axes.push_back({.first = residue,
                    .stride = g.divide,
                    .count = (out - residue + g.divide - 1) / g.divide,
                    .first_tap = first_tap,
                    .taps = first_tap < taps ? (taps - first_tap + g.divide - 1) / g.divide : 0,
                    .step = g.step,
                    .pad = (pad - residue - first_tap) / g.divide,
                    .extent = extent});
  }
  return axes;
}

/// Which positions of an axis are alike in the taps that fall inside the source.
struct ConvClasses {
  std::vector<std::int32_t> of_position;
  std::vector<std::pair<std::int64_t, std::int64_t>>
      taps;  ///< valid taps of each class, [begin, end)

  explicit ConvClasses(const ConvAxis& axis) {
    for (std::int64_t i = 0; i < axis.count; ++i) {
      const auto valid = axis.valid(i);
      auto known = std::find(taps.begin(), taps.end(), valid);
      if (known == taps.end()) known = taps.insert(known, valid);
      of_position.push_back(static_cast<std::int32_t>(known - taps.begin()));
    }
  }
};

}  // namespace ebb::kernels
