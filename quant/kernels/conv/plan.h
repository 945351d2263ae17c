#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <numeric>

#include "quant/kernels/conv/axis.h"
#include "quant/kernels/problem.h"

namespace ebb::kernels {

/// A patch matrix on the left that needs no gathering: lines of the image are copied into a
/// zero-padded block, where the taps of neighbouring positions lie a constant distance apart.
inline bool is_convolution(const Problem& p) {
  const CodeMatrix& a = p.a.codes();
  return a.patches && !a.patches_transposed && !p.transposed_out &&
         (a.patches->step == 1 || a.patches->divide == 1);
}
/// The weights' gradient of a convolution: its transposed patch matrix on the left.
inline bool is_weight_gradient(const Problem& p) {
  const CodeMatrix& a = p.a.codes();
  return a.patches && a.patches_transposed && a.patches->divide == 1;
}

/// How a convolution over one residue of each axis (of stride 1 there is only one) is cut into
/// blocks of padded lines, whatever its numbers are.
struct ConvPlan {
  const Problem& problem;
  const PatchGeometry& geometry;
  ConvAxis y, x;
  std::int64_t pixel, line;  ///< numbers of a pixel and of a padded line
  std::int64_t lines;        ///< positions of the y axis that a block covers
  bool reports = false;

  /// Blocks of at most `most` numbers, if lines allow it.
  ConvPlan(const Problem& p, const ConvAxis& y_axis, const ConvAxis& x_axis,
           std::int64_t pixel_numbers, std::int64_t most)
      : problem(p),
        geometry(*p.a.codes().patches),
        y(y_axis),
        x(x_axis),
        pixel(pixel_numbers),
        line(std::max<std::int64_t>(0, x.reach(x.count)) * pixel),
        lines(std::clamp<std::int64_t>((most / std::max<std::int64_t>(line, 1) - y.taps) / y.step,
                                       1, y.count)) {
    if (p.report == nullptr || geometry.divide > 1) return;
    // Whole blocks of reported rows, if lines and images are cut that way.
    const std::int64_t unit = kRowsDone / std::gcd(kRowsDone, x.count);
    if (y.count % unit == 0) lines = std::max(unit, lines / unit * unit);
    reports = y.count % unit == 0 && (y.count % lines) % unit == 0;
  }

  [[nodiscard]] std::int64_t taps() const { return y.taps * x.taps; }
  /// First row of b that belongs to a tap.
  [[nodiscard]] std::int64_t row_of_tap(std::int64_t tap) const {
    const std::int64_t ky = y.first_tap + tap / x.taps * y.stride,
                       kx = x.first_tap + tap % x.taps * x.stride;
    return (ky * geometry.taps_x + kx) * geometry.channels;
  }

  /// Positions top .. top + height of the y axis of an image, the first being row `row` of a.
  struct Block {
    std::int64_t image, top, height, row;
  };
  [[nodiscard]] std::int64_t blocks_an_image() const { return (y.count + lines - 1) / lines; }
  [[nodiscard]] std::int64_t blocks() const { return geometry.images * blocks_an_image(); }
  [[nodiscard]] Block block(std::int64_t i) const {
    const std::int64_t image = i / blocks_an_image(), top = i % blocks_an_image() * lines;
    return {
        image, top, std::min(lines, y.count - top),
        (image * geometry.out_height + y.first + top * y.stride) * geometry.out_width + x.first};
  }
  /// Rows of a from one line of positions to the next.
  [[nodiscard]] std::int64_t rows_a_line() const { return y.stride * geometry.out_width; }
  /// Numbers of a block's padded lines, the same for all blocks.
  [[nodiscard]] std::int64_t block_numbers() const {
    return std::max<std::int64_t>(0, y.reach(lines)) * line;
  }
  void report(const Block& b) const {
    if (reports) (*problem.report)(b.row, b.row + b.height * x.count);
  }

  /// Pads the source lines of a block; copy(pixel of the images, pixels, to) copies what is not
  /// padding. The sides of lines are zeros already.
  template <class Number, class Copy>
  void copy_lines(const Block& b, Number* to, const Copy& copy) const {
    pad_lines(y, x, geometry, b.image, b.top, b.height, pixel, line, to, copy);
  }
};

/// All residues of a convolution, one `Part` each; threads take blocks. Returns the sum of what
/// Part::run returns.
template <class Part, class Kernels>
std::uint64_t run_convolution(const Problem& p, const Kernels& kernels) {
  const PatchGeometry& g = *p.a.codes().patches;
  std::deque<Part> parts;  // which stay where they are
  for (const ConvAxis& y : conv_axes(g, g.out_height, g.taps_y, g.pad_top, g.height)) {
    for (const ConvAxis& x : conv_axes(g, g.out_width, g.taps_x, g.pad_left, g.width))
      parts.emplace_back(p, kernels, y, x);
  }
  std::uint64_t sum = 0;
#pragma omp parallel reduction(+ : sum) if (p.m() * p.n() * p.k() > (1 << 15))
  {
    for (const Part& part : parts) {
      typename Part::Scratch scratch(part);
#pragma omp for schedule(dynamic) nowait
      for (std::int64_t block = 0; block < part.plan().blocks(); ++block)
        sum += part.run(part.plan().block(block), scratch);
    }
  }
  return sum;
}

}  // namespace ebb::kernels
