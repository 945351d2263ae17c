#include "quant/kernels/conv/floats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/aligned.h"
#include "core/fetch.h"
#include "core/kernels/select.h"
#include "quant/kernels/conv/plan.h"
#include "quant/kernels/registry.h"

namespace ebb::kernels {
namespace {

constexpr std::int64_t kBlockFloats =
    24 << 10;  ///< of padded lines, so that a block stays in the first two cache levels

const float* floats(const CodeMatrix& x) { return static_cast<const float*>(x.data); }

bool is_negative_zero(float x) { return std::bit_cast<std::uint32_t>(x) == 0x80000000u; }

/// One residue of each axis, with its packed weights. What the other residues' taps would multiply
/// are zeros, so they are left out; `settle` makes up for the one case where that shows.
class Convolution {
 public:
  Convolution(const Problem& problem, const FloatConvKernels& kernels, const ConvAxis& y,
              const ConvAxis& x)
      : p_(problem),
        kernels_(kernels),
        plan_(problem, y, x, problem.a.codes().patches->channels, kBlockFloats) {
    pack_weights();
  }

  [[nodiscard]] const ConvPlan& plan() const { return plan_; }

  struct Scratch {
    Aligned<float> pixels;

    explicit Scratch(const Convolution& part)
        : pixels(static_cast<std::size_t>(part.plan_.block_numbers())) {
      std::fill(pixels.begin(), pixels.end(), 0.0f);  // the sides of the lines stay so
    }
  };

  std::uint64_t run(const ConvPlan::Block& block, Scratch& scratch) const {
    const PatchGeometry& g = plan_.geometry;
    plan_.copy_lines(block, scratch.pixels.data(),
                     [&](std::int64_t pixel, std::int64_t pixels, float* to) {
                       copy_pixels(g, floats(p_.a.codes()) + pixel * g.pixel_stride, pixels, to);
                     });
    for (std::int64_t i = 0; i < block.height; ++i) {
      const std::int64_t row = block.row + i * plan_.rows_a_line();
      const FloatLine line{.pixels = scratch.pixels.data() + i * plan_.y.step * plan_.line,
                           .pixel = g.channels,
                           .line = plan_.line,
                           .step = plan_.x.step,
                           .weights = weights_.data(),
                           .taps_y = plan_.y.taps,
                           .taps_x = plan_.x.taps,
                           .positions = plan_.x.count,
                           .n = p_.n(),
                           .out = &p_.c(row, 0),
                           .out_stride = plan_.x.stride * p_.out.row_stride};
      const bool negative_zero = kernels_.line(line);
      if (g.divide > 1 && negative_zero) settle(row);
    }
    plan_.report(block);
    return 0;
  }

 private:
  /// Panel p, tap t, channel c: 16 floats at ((p * taps + t) * channels + c) * 16, zeros beyond the
  /// last column.
  void pack_weights() {
    const std::int64_t panels = (p_.n() + kPanel - 1) / kPanel, channels = plan_.geometry.channels;
    const CodeMatrix& b = p_.b.codes();
    weights_.resize(static_cast<std::size_t>(panels * plan_.taps() * channels * kPanel));
    float* to = weights_.data();
    for (std::int64_t col = 0; col < p_.n(); col += kPanel) {
      const std::int64_t cols = std::min(kPanel, p_.n() - col);
      for (std::int64_t tap = 0; tap < plan_.taps(); ++tap) {
        const float* from = floats(b) + plan_.row_of_tap(tap) * b.row_stride + col * b.col_stride;
        for (std::int64_t c = 0; c < channels; ++c, from += b.row_stride, to += kPanel) {
          for (std::int64_t j = 0; j < cols; ++j) to[j] = from[j * b.col_stride];
          std::fill(to + cols, to + kPanel, 0.0f);
        }
      }
    }
  }

  /// A tap that is left out would add a zero to its chain, which changes nothing but -0 to +0; and
  /// a chain that differs from the reference's in that way alone does so until a product moves it
  /// away from zero. So where a -0 came out, which takes products too small for float32, it is
  /// computed anew with all taps.
  void settle(std::int64_t row) const {
    const CodeMatrix &a = p_.a.codes(), &b = p_.b.codes();
    for (std::int64_t x = 0; x < plan_.x.count; ++x, row += plan_.x.stride) {
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
  ConvPlan plan_;
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

bool conv_floats_apply(const Problem& p) {
  if (!p.float_chain() || p.n() == 0 || p.m() == 0 || p.k() == 0) return false;
  if (is_weight_gradient(p)) return true;
  return is_convolution(p) && (p.a.codes().patches->divide == 1 || all_finite(p.b.codes()));
}

std::uint64_t convolve_floats(const Problem& p, Simd simd) {
  const FloatConvKernels& kernels = select<FloatConvKernels>(simd);
  if (!is_weight_gradient(p)) return run_convolution<Convolution>(p, kernels);
  conv_float_grad(p, kernels);
  return 0;
}

}  // namespace ebb::kernels
