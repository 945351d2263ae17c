#include "quant/kernels/conv_float.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/aligned.h"
#include "core/fetch.h"
#include "quant/kernels/conv_axis.h"

namespace ebb::kernels {
namespace {

constexpr std::int64_t kBlockFloats =
    24 << 10;  ///< of padded lines, so that a block stays in the first two cache levels

const float* floats(const CodeMatrix& x) { return static_cast<const float*>(x.data); }

bool is_negative_zero(float x) { return std::bit_cast<std::uint32_t>(x) == 0x80000000u; }

/// A convolution over one residue of each axis (of stride 1 there is only one) with its packed
/// weights. What the other residues' taps would multiply are zeros, so they are left out; `settle`
/// makes up for the one case where that shows.
class Convolution {
 public:
  Convolution(const Problem& problem, const FloatConvKernels& kernels, const ConvAxis& y,
              const ConvAxis& x)
      : p_(problem),
        kernels_(kernels),
        y_(y),
        x_(x),
        line_(std::max<std::int64_t>(0, x.reach(x.count)) * geometry().channels),
        lines_(std::clamp<std::int64_t>(
            (kBlockFloats / std::max<std::int64_t>(line_, 1) - y.taps) / y.step, 1, y.count)) {
    if (p_.report != nullptr && geometry().divide == 1) {
      // Whole blocks of reported rows, if lines and images are cut that way.
      const std::int64_t unit = kRowsDone / std::gcd(kRowsDone, x.count);
      if (y.count % unit == 0) lines_ = std::max(unit, lines_ / unit * unit);
      reports_ = y.count % unit == 0 && (y.count % lines_) % unit == 0;
    }
    pack_weights();
  }

  [[nodiscard]] std::int64_t blocks() const { return geometry().images * blocks_an_image(); }
  /// Floats of the padded lines of a block, the same for all blocks.
  [[nodiscard]] std::int64_t block_floats() const {
    return std::max<std::int64_t>(0, y_.reach(lines_)) * line_;
  }

  /// `pixels` is for this part alone: what it does not write, the sides of the lines, was zeroed
  /// once.
  void run(std::int64_t block, float* pixels) const {
    const PatchGeometry& g = geometry();
    const std::int64_t image = block / blocks_an_image(), top = block % blocks_an_image() * lines_;
    const std::int64_t height = std::min(lines_, y_.count - top);
    copy_lines(image, top, height, pixels);
    const std::int64_t row =
        (image * g.out_height + y_.first + top * y_.stride) * g.out_width + x_.first;
    for (std::int64_t i = 0; i < height; ++i) {
      const FloatLine line{.pixels = pixels + i * y_.step * line_,
                           .pixel = g.channels,
                           .line = line_,
                           .step = x_.step,
                           .weights = weights_.data(),
                           .taps_y = y_.taps,
                           .taps_x = x_.taps,
                           .positions = x_.count,
                           .n = p_.n(),
                           .out = &p_.c(row + i * y_.stride * g.out_width, 0),
                           .out_stride = x_.stride * p_.out.row_stride};
      const bool negative_zero = kernels_.line(line);
      if (g.divide > 1 && negative_zero) settle(row + i * y_.stride * g.out_width);
    }
    if (reports_) (*p_.report)(row, row + height * x_.count);
  }

 private:
  [[nodiscard]] const PatchGeometry& geometry() const { return *p_.a.codes().patches; }
  [[nodiscard]] std::int64_t blocks_an_image() const { return (y_.count + lines_ - 1) / lines_; }

  /// Panel p, tap t, channel c: 16 floats at ((p * taps + t) * channels + c) * 16, zeros beyond the
  /// last column.
  void pack_weights() {
    const PatchGeometry& g = geometry();
    const CodeMatrix& b = p_.b.codes();
    const std::int64_t panels = (p_.n() + kPanel - 1) / kPanel;
    weights_.resize(static_cast<std::size_t>(panels * y_.taps * x_.taps * g.channels * kPanel));
    float* to = weights_.data();
    for (std::int64_t col = 0; col < p_.n(); col += kPanel) {
      const std::int64_t cols = std::min(kPanel, p_.n() - col);
      for (std::int64_t tap = 0; tap < y_.taps * x_.taps; ++tap) {
        const std::int64_t ky = y_.first_tap + tap / x_.taps * y_.stride,
                           kx = x_.first_tap + tap % x_.taps * x_.stride;
        const float* from =
            floats(b) + (ky * g.taps_x + kx) * g.channels * b.row_stride + col * b.col_stride;
        for (std::int64_t c = 0; c < g.channels; ++c, from += b.row_stride, to += kPanel) {
          for (std::int64_t j = 0; j < cols; ++j) to[j] = from[j * b.col_stride];
          std::fill(to + cols, to + kPanel, 0.0f);
        }
      }
    }
  }

  /// Copies the source lines of positions top .. top + height between their zeros.
  void copy_lines(std::int64_t image, std::int64_t top, std::int64_t height, float* pixels) const {
    const PatchGeometry& g = geometry();
    const std::int64_t left = std::max<std::int64_t>(0, x_.pad),
                       skip = std::max<std::int64_t>(0, -x_.pad);
    const std::int64_t run = std::min(g.width - skip, x_.reach(x_.count) - left);
    for (std::int64_t y = 0; y < y_.reach(height); ++y) {
      const std::int64_t sy = top * y_.step + y - y_.pad;
      if (sy < 0 || sy >= g.height || run <= 0) {
        std::fill_n(pixels + y * line_, line_, 0.0f);
      } else {
        copy_pixels(
            g, floats(p_.a.codes()) + ((image * g.height + sy) * g.width + skip) * g.pixel_stride,
            run, pixels + y * line_ + left * g.channels);
      }
    }
  }

  /// A tap that is left out would add a zero to its chain, which changes nothing but -0 to +0; and
  /// a chain that differs from the reference's in that way alone does so until a product moves it
  /// away from zero. So where a -0 came out, which takes products too small for float32, it is
  /// computed anew with all taps.
  void settle(std::int64_t row) const {
    const CodeMatrix &a = p_.a.codes(), &b = p_.b.codes();
    for (std::int64_t x = 0; x < x_.count; ++x, row += x_.stride) {
      for (std::int64_t j = 0; j < p_.n(); ++j) {
        if (!is_negative_zero(p_.c(row, j))) continue;
        float sum = 0.0f;
        for (std::int64_t k = 0; k < p_.k(); ++k)
          sum = std::fma(a.value_at(a.offset(row, k)), b.value_at(b.offset(k, j)), sum);
        p_.c(row, j) = sum;
      }
    }
  }

  const Problem& p_;
  const FloatConvKernels& kernels_;
  ConvAxis y_, x_;
  std::int64_t line_;   ///< floats of a padded line
  std::int64_t lines_;  ///< positions of the y axis that a block covers
  bool reports_ = false;
  Aligned<float> weights_;
};

/// Taps that are left out are zeros times finite weights.
bool all_finite(const CodeMatrix& b) {
  for (std::int64_t k = 0; k < b.rows; ++k) {
    for (std::int64_t j = 0; j < b.cols; ++j) {
      if (!std::isfinite(b.value_at(b.offset(k, j)))) return false;
    }
  }
  return true;
}

}  // namespace

void copy_pixels(const PatchGeometry& g, const float* from, std::int64_t pixels, float* to) {
  const std::size_t bytes = static_cast<std::size_t>(g.channels) * sizeof(float);
  if (g.channels == g.pixel_stride) {
    fetch_ahead(from, pixels * g.channels * 4);
    std::memcpy(to, from, static_cast<std::size_t>(pixels) * bytes);
  } else {
    for (std::int64_t i = 0; i < pixels; ++i)
      std::memcpy(to + i * g.channels, from + i * g.pixel_stride, bytes);
  }
}

bool conv_float_applies(const Problem& p) {
  const CodeMatrix& a = p.a.codes();
  if (!a.patches || a.patches_transposed || p.transposed_out || p.n() == 0 || p.m() == 0 ||
      p.k() == 0)
    return false;
  return a.patches->divide == 1 || (a.patches->step == 1 && all_finite(p.b.codes()));
}

void conv_float(const Problem& p, const FloatConvKernels& kernels) {
  const PatchGeometry& g = *p.a.codes().patches;
  std::vector<Convolution> parts;
  for (const ConvAxis& y : conv_axes(g, g.out_height, g.taps_y, g.pad_top, g.height)) {
    for (const ConvAxis& x : conv_axes(g, g.out_width, g.taps_x, g.pad_left, g.width))
      parts.emplace_back(p, kernels, y, x);
  }
#pragma omp parallel if (p.m() * p.n() * p.k() > (1 << 15))
  {
    for (const Convolution& part : parts) {
      Aligned<float> pixels(static_cast<std::size_t>(part.block_floats()));
      std::fill(pixels.begin(), pixels.end(), 0.0f);
#pragma omp for schedule(dynamic) nowait
      for (std::int64_t block = 0; block < part.blocks(); ++block) part.run(block, pixels.data());
    }
  }
}

}  // namespace ebb::kernels
