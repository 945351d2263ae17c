#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/aligned.h"
#include "quant/kernels/conv/axis.h"
#include "quant/kernels/conv/floats.h"

// The weights' gradient in float32: an output's chain runs over all positions in ascending order,
// so threads share outputs, and each walks the chunks of positions in order. A thread pads and
// packs every chunk for itself: copying is a few hundredths of the products, and threads that
// shared it would wait for each other at every chunk.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kChunkFloats =
    48 << 10;  ///< of both sides, so that a chunk stays in the second cache level

const float* floats(const CodeMatrix& x) { return static_cast<const float*>(x.data); }
std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Rows of the patch matrix that belong to one row of taps, (kx, channel), are neighbours in a
/// padded line; there are `rows4_` of them with those that fill up the last tile.
class WeightGradient {
 public:
  WeightGradient(const Problem& problem, const FloatConvKernels& kernels)
      : p_(problem),
        kernels_(kernels),
        y_(conv_axes(geometry(), geometry().out_height, geometry().taps_y, geometry().pad_top,
                     geometry().height)[0]),
        x_(conv_axes(geometry(), geometry().out_width, geometry().taps_x, geometry().pad_left,
                     geometry().width)[0]),
        rows_(x_.taps * geometry().channels),
        rows4_(round_up(rows_, 4)),
        n16_(round_up(p_.n(), kPanel)),
        line_(x_.reach(x_.count) * geometry().channels),
        in_place_(p_.n() == n16_ && p_.b.codes().col_stride == 1),
        sums_(static_cast<std::size_t>(y_.taps * rows4_ * n16_)) {
    const std::int64_t floats_a_line = y_.step * line_ + x_.count * n16_;
    lines_ = std::clamp<std::int64_t>(kChunkFloats / floats_a_line - y_.taps, 1, y_.count);
    const std::int64_t fit = kChunkFloats / (floats_a_line * (y_.count + y_.taps));
    images_ = lines_ == y_.count ? std::clamp<std::int64_t>(fit, 1, geometry().images) : 1;
    std::fill(sums_.begin(), sums_.end(), 0.0f);
  }

  /// Rows of tiles' height that threads can share out.
  [[nodiscard]] std::int64_t units() const { return y_.taps * rows4_ / 4; }

  /// All positions for units first .. last of the outputs.
  void run(std::int64_t first, std::int64_t last) {
    Aligned<float> pixels(static_cast<std::size_t>(images_ * y_.reach(lines_) * line_ + 16));
    Aligned<float> gradient(
        in_place_ ? 0 : static_cast<std::size_t>(images_ * lines_ * x_.count * n16_));
    std::fill(pixels.begin(), pixels.end(), 0.0f);
    for (std::int64_t image = 0; image < geometry().images; image += images_) {
      for (std::int64_t top = 0; top < y_.count; top += lines_) {
        const FloatPositions chunk = pack(image, top, pixels.data(), gradient.data());
        for (std::int64_t unit = first; unit < last;) {
          const std::int64_t ky = 4 * unit / rows4_, end = std::min(last, (ky + 1) * rows4_ / 4),
                             row = 4 * unit - ky * rows4_;
          FloatPositions rows = chunk;
          rows.pixels += ky * line_ + row;
          float* const to = sums_.data() + 4 * unit * n16_;
          kernels_.add_positions(rows, 4 * (end - unit), n16_ / kPanel, to, n16_);
          unit = end;
        }
      }
    }
    for (std::int64_t r = 4 * first; r < 4 * last; ++r) {
      const std::int64_t row = r / rows4_ * rows_ + r % rows4_;
      for (std::int64_t j = 0; r % rows4_ < rows_ && j < p_.n(); ++j)
        p_.c(row, j) = sums_[static_cast<std::size_t>(r * n16_ + j)];
    }
  }

 private:
  [[nodiscard]] const PatchGeometry& geometry() const { return *p_.a.codes().patches; }

  /// Pads the lines under the chunk's positions and packs its rows of b as panels of 16 columns,
  /// unless they are that already.
  FloatPositions pack(std::int64_t image, std::int64_t top, float* pixels, float* gradient) const {
    const PatchGeometry& g = geometry();
    const CodeMatrix& b = p_.b.codes();
    const std::int64_t images = std::min(images_, g.images - image),
                       height = std::min(lines_, y_.count - top);
    const std::int64_t reach = y_.reach(height);
    for (std::int64_t i = 0; i < images; ++i) {
      pad_lines(y_, x_, g, image + i, top, height, g.channels, line_, pixels + i * reach * line_,
                [&](std::int64_t pixel, std::int64_t count, float* to) {
                  copy_pixels(g, floats(p_.a.codes()) + pixel * g.pixel_stride, count, to);
                });
    }
    const std::int64_t k = images * height * x_.count;
    const float* const from = floats(b) + (image * y_.count + top) * x_.count * b.row_stride;
    if (!in_place_) pack_panels(from, k, gradient);
    return {.pixels = pixels,
            .position = x_.step * g.channels,
            .line = y_.step * line_,
            .image = reach * line_,
            .gradient = in_place_ ? from : gradient,
            .row = in_place_ ? b.row_stride : kPanel,
            .panel = in_place_ ? kPanel : k * kPanel,
            .width = x_.count,
            .height = height,
            .images = images};
  }

  void pack_panels(const float* from, std::int64_t k, float* to) const {
    const CodeMatrix& b = p_.b.codes();
    for (std::int64_t col = 0; col < p_.n(); col += kPanel) {
      const std::int64_t cols = std::min(kPanel, p_.n() - col);
      for (std::int64_t i = 0; i < k; ++i, to += kPanel) {
        for (std::int64_t j = 0; j < cols; ++j)
          to[j] = from[i * b.row_stride + (col + j) * b.col_stride];
        std::fill(to + cols, to + kPanel, 0.0f);
      }
    }
  }

  const Problem& p_;
  const FloatConvKernels& kernels_;
  ConvAxis y_, x_;
  std::int64_t rows_, rows4_, n16_;
  std::int64_t line_;            ///< floats of a padded line
  std::int64_t lines_, images_;  ///< of a chunk
  bool in_place_;                ///< b is read where it is, as its rows are whole panels
  Aligned<float> sums_;
};

}  // namespace

void conv_float_grad(const Problem& p, const FloatConvKernels& kernels) {
  WeightGradient product(p, kernels);
#pragma omp parallel if (p.m() * p.n() * p.k() > (1 << 15))
  {
    const std::int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads(),
                       units = product.units();
    const std::int64_t first = units * thread / threads, last = units * (thread + 1) / threads;
    if (first < last) product.run(first, last);
  }
}

}  // namespace ebb::kernels
