#include "quant/kernels/conv_int8.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "quant/kernels/conv_axis.h"
#include "quant/kernels/gather.h"

namespace ebb::kernels {
namespace {

/// A line through the tiles that every instruction set has.
std::uint64_t line_by_tiles(const Int8Micro& micro, const ConvLine& l) {
  const std::int64_t panels = (l.n + kPanel - 1) / kPanel, stride = l.taps_y * l.taps_x * l.groups * 64;
  std::int32_t tile[kMaxRows * kMaxPanels * kPanel];
  std::uint64_t events = 0;
  for (std::int64_t panel = 0; panel < panels; panel += kMaxPanels) {
    const int count = static_cast<int>(std::min<std::int64_t>(kMaxPanels, panels - panel));
    const std::int64_t ld = count * kPanel, col = panel * kPanel, cols = std::min(ld, l.n - col);
    const Int8Right right{l.weights + panel * stride, stride, 64, l.taps_x * l.groups, l.taps_y};
    for (std::int64_t x = 0; x < l.positions; x += micro.rows[count]) {
      const int tall = static_cast<int>(std::min<std::int64_t>(micro.rows[count], l.positions - x));
      micro.multiply({l.pixels + x * l.step * l.pixel, l.step * l.pixel, 4, l.line}, right, tall, count, tile, ld);
      for (std::int64_t r = 0; r < tall; ++r) {
        std::int32_t* const sums = tile + r * ld;
        std::int32_t bias = micro.biased_b ? 128 * l.sums[x + r] : 0;
        if (l.wrap_bits > 0 && l.wrap_bits < 32) {
          for (std::int64_t j = 0; j < cols; ++j) {
            const auto kept = static_cast<std::int32_t>(wrapped(sums[j] - bias, l.wrap_bits));
            events += static_cast<std::uint64_t>(std::abs((std::int64_t{sums[j]} - bias - kept) >> l.wrap_bits));
            sums[j] = kept;
          }
          bias = 0;
        }
        micro.scale(sums, cols, bias, l.alpha + col, l.beta + col, l.sums[x + r], l.gamma[x + r] + col,
                    l.out + (x + r) * l.out_stride + col);
      }
    }
  }
  return events;
}

void sum_pixels(const std::int8_t* codes, std::int64_t pixels, std::int64_t pixel, std::int32_t* sums) {
  for (std::int64_t i = 0; i < pixels; ++i, codes += pixel) {
    std::int32_t sum = 0;
    for (std::int64_t c = 0; c < pixel; ++c) sum += codes[c];
    sums[i] = sum;
  }
}

/// A convolution over one residue of each axis (of stride 1 there is only one): its packed weights and the coefficients of its
/// outputs, which depend on the position only through its class.
class Convolution {
 public:
  Convolution(const Problem& problem, const Int8Micro& micro, const ConvAxis& y, const ConvAxis& x)
      : p_(problem),
        micro_(micro),
        y_(y),
        x_(x),
        y_classes_(y),
        x_classes_(x),
        n16_(round_up(problem.n(), kPanel)),
        groups_((geometry().channels + 3) / 4),
        pixel_(4 * groups_),
        line_(x.reach(x.count) * pixel_),
        lines_(std::clamp<std::int64_t>((kRowBlockBytes / std::max<std::int64_t>(line_, 1) - y.taps) / y.step, 1, y.count)) {
    if (p_.report != nullptr && x.stride == 1 && y.stride == 1) {
      // Whole blocks of reported rows, if lines and images are cut that way.
      const std::int64_t unit = kRowsDone / std::gcd(kRowsDone, x.count);
      if (y.count % unit == 0) lines_ = std::max(unit, lines_ / unit * unit);
      reports_ = y.count % unit == 0 && (y.count % lines_) % unit == 0;
    }
    pack_weights();
    fill_coefficients();
  }

  [[nodiscard]] std::int64_t blocks() const { return geometry().images * blocks_an_image(); }

  /// What a thread keeps from block to block.
  struct Scratch {
    Aligned<std::int8_t> pixels;
    std::vector<std::int32_t> pixel_sums, column_sums, sums;
    std::vector<const double*> gamma;
  };

  std::uint64_t run(std::int64_t block, Scratch& scratch) const {
    const std::int64_t image = block / blocks_an_image(), top = block % blocks_an_image() * lines_;
    const std::int64_t height = std::min(lines_, y_.count - top);
    copy_lines(image, top, height, scratch);
    const std::int64_t wide = line_ / pixel_;
    scratch.sums.resize(static_cast<std::size_t>(x_.count));
    scratch.gamma.resize(static_cast<std::size_t>(x_.count));
    const std::int64_t row = (image * geometry().out_height + y_.first + top * y_.stride) * geometry().out_width + x_.first;
    std::uint64_t events = 0;
    std::int32_t gamma_class = -1;
    for (std::int64_t i = 0; i < height; ++i) {
      sum_taps(scratch.pixel_sums.data() + i * y_.step * wide, wide, scratch);
      if (const std::int32_t y_class = y_classes_.of_position[static_cast<std::size_t>(top + i)]; y_class != gamma_class) {
        gamma_class = y_class;
        const double* const first = gamma_.data() + y_class * static_cast<std::int64_t>(x_classes_.taps.size()) * n16_;
        for (std::size_t x = 0; x < scratch.gamma.size(); ++x) scratch.gamma[x] = first + x_classes_.of_position[x] * n16_;
      }
      const ConvLine line{.pixels = scratch.pixels.data() + i * y_.step * line_,
                          .pixel = pixel_,
                          .line = line_,
                          .step = x_.step,
                          .weights = weights_.data(),
                          .taps_y = y_.taps,
                          .taps_x = x_.taps,
                          .groups = groups_,
                          .positions = x_.count,
                          .n = p_.n(),
                          .sums = scratch.sums.data(),
                          .alpha = alpha_.data(),
                          .beta = beta_.data(),
                          .gamma = scratch.gamma.data(),
                          .wrap_bits = p_.accumulator.is_exact() ? 0 : p_.accumulator.bits,
                          .out = &p_.c(row + i * y_.stride * geometry().out_width, 0),
                          .out_stride = x_.stride * p_.out.row_stride};
      events += micro_.conv_line != nullptr ? micro_.conv_line(line) : line_by_tiles(micro_, line);
    }
    if (reports_) (*p_.report)(row, row + height * x_.count);
    return events;
  }

 private:
  [[nodiscard]] const PatchGeometry& geometry() const { return *p_.a.codes().patches; }
  [[nodiscard]] std::int64_t taps() const { return y_.taps * x_.taps; }
  [[nodiscard]] std::int64_t blocks_an_image() const { return (y_.count + lines_ - 1) / lines_; }
  /// First row of b that belongs to tap (ky, kx) of this convolution.
  [[nodiscard]] std::int64_t first_row(std::int64_t ky, std::int64_t kx) const {
    return ((y_.first_tap + ky * y_.stride) * geometry().taps_x + x_.first_tap + kx * x_.stride) * geometry().channels;
  }

  /// Panel p, tap t, group g: 64 bytes at ((p * taps + t) * groups + g) * 64.
  void pack_weights() {
    const CodeMatrix& b = p_.b.codes();
    weights_.resize(static_cast<std::size_t>(taps() * groups_ * 4 * n16_));
    std::uint8_t* out = weights_.data();
    for (std::int64_t panel = 0; panel < n16_; panel += kPanel) {
      for (std::int64_t ky = 0; ky < y_.taps; ++ky) {
        for (std::int64_t kx = 0; kx < x_.taps; ++kx, out += 64 * groups_) {
          pack_panel(b, first_row(ky, kx), geometry().channels, panel, micro_.biased_b ? 0x80 : 0, out);
        }
      }
    }
  }

  void fill_coefficients() {
    const CodeMatrix& b = p_.b.codes();
    const std::int64_t n = p_.n();
    const double sa = p_.a.grid().scale, za = p_.a.grid().stored_zero();
    std::vector<std::int64_t> tap_sums(static_cast<std::size_t>(taps() * n16_), 0);
    for (std::int64_t tap = 0; tap < taps(); ++tap) {
      const std::int64_t first = first_row(tap / x_.taps, tap % x_.taps);
      for (std::int64_t k = first; k < first + geometry().channels; ++k) {
        for (std::int64_t j = 0; j < n; ++j) {
          tap_sums[static_cast<std::size_t>(tap * n16_ + j)] += int8_codes(b)[k * b.row_stride + j * b.col_stride];
        }
      }
    }
    alpha_.assign(static_cast<std::size_t>(n16_), 0.0);
    beta_ = alpha_;
    gamma_.assign(y_classes_.taps.size() * x_classes_.taps.size() * alpha_.size(), 0.0);
    for (std::int64_t j = 0; j < n; ++j) {
      const Grid& grid = p_.b.grid(p_.b.axis() == GridAxis::columns ? j : 0);
      const double sb = grid.scale, zb = grid.stored_zero();
      alpha_[static_cast<std::size_t>(j)] = sa * sb;
      beta_[static_cast<std::size_t>(j)] = sa * zb;
      double* out = gamma_.data() + j;
      for (const auto& [y_begin, y_end] : y_classes_.taps) {
        for (const auto& [x_begin, x_end] : x_classes_.taps) {
          std::int64_t sum = 0;
          for (std::int64_t ky = y_begin; ky < y_end; ++ky) {
            for (std::int64_t kx = x_begin; kx < x_end; ++kx)
              sum += tap_sums[static_cast<std::size_t>((ky * x_.taps + kx) * n16_ + j)];
          }
          const auto valid = static_cast<double>((y_end - y_begin) * (x_end - x_begin) * geometry().channels);
          *out = (za * sb) * static_cast<double>(sum) + (za * zb) * valid;
          out += n16_;
        }
      }
    }
  }

  /// Copies the source lines of positions top .. top + height, padded with zeros, and sums the codes of each pixel.
  void copy_lines(std::int64_t image, std::int64_t top, std::int64_t height, Scratch& scratch) const {
    const PatchGeometry& g = geometry();
    const std::int64_t lines = y_.reach(height), wide = line_ / pixel_;
    scratch.pixels.resize(static_cast<std::size_t>(std::max<std::int64_t>(lines, 0) * line_ + 4 * kSlack));
    std::fill(scratch.pixels.begin(), scratch.pixels.end(), 0);
    const std::int64_t left = std::max<std::int64_t>(0, x_.pad), skip = std::max<std::int64_t>(0, -x_.pad);
    const std::int64_t run = std::min(g.width - skip, wide - left);
    for (std::int64_t y = 0; y < lines && run > 0; ++y) {
      const std::int64_t sy = top * y_.step + y - y_.pad;
      if (sy < 0 || sy >= g.height) continue;
      const std::int8_t* const from = int8_codes(p_.a.codes()) + ((image * g.height + sy) * g.width + skip) * g.pixel_stride;
      std::int8_t* const to = scratch.pixels.data() + y * line_ + left * pixel_;
      if (g.channels == pixel_ && g.pixel_stride == pixel_) {
        std::memcpy(to, from, static_cast<std::size_t>(run * pixel_));
      } else {
        for (std::int64_t x = 0; x < run; ++x)
          std::memcpy(to + x * pixel_, from + x * g.pixel_stride, static_cast<std::size_t>(g.channels));
      }
    }
    scratch.pixel_sums.resize(static_cast<std::size_t>(std::max<std::int64_t>(lines, 0) * wide));
    const bool fast = micro_.sum_pixels != nullptr && pixel_ % 8 == 0 && 64 % pixel_ == 0;
    (fast ? micro_.sum_pixels : sum_pixels)(scratch.pixels.data(), static_cast<std::int64_t>(scratch.pixel_sums.size()), pixel_,
                                            scratch.pixel_sums.data());
  }

  /// The sum of the codes under the taps of each position of a line; padded taps are zeros there.
  void sum_taps(const std::int32_t* pixel_sums, std::int64_t wide, Scratch& scratch) const {
    std::vector<std::int32_t>& columns = scratch.column_sums;
    columns.assign(static_cast<std::size_t>(wide), 0);
    for (std::int64_t ky = 0; ky < y_.taps; ++ky) {
      for (std::int64_t x = 0; x < wide; ++x) columns[static_cast<std::size_t>(x)] += pixel_sums[ky * wide + x];
    }
    std::fill(scratch.sums.begin(), scratch.sums.end(), 0);
    for (std::int64_t kx = 0; kx < x_.taps; ++kx) {
      for (std::size_t x = 0; x < scratch.sums.size(); ++x)
        scratch.sums[x] += columns[x * static_cast<std::size_t>(x_.step) + static_cast<std::size_t>(kx)];
    }
  }

  const Problem& p_;
  const Int8Micro& micro_;
  ConvAxis y_, x_;
  ConvClasses y_classes_, x_classes_;
  std::int64_t n16_, groups_;
  std::int64_t pixel_, line_;  ///< bytes of a pixel and of a padded line
  std::int64_t lines_;         ///< positions of the y axis that a block covers
  bool reports_ = false;
  Aligned<std::uint8_t> weights_;
  std::vector<double> alpha_, beta_, gamma_;  ///< gamma: [y classes, x classes, n16]
};

}  // namespace

bool conv_applies(const Problem& p) {
  const CodeMatrix& a = p.a.codes();
  if (!a.patches || a.patches_transposed || p.transposed_out) return false;
  const PatchGeometry& g = *a.patches;
  const bool one_run = g.step == 1 || g.divide == 1;
  return one_run && g.taps_y * g.taps_x * ((g.channels + 3) / 4) <= kMaxGroups;
}

std::uint64_t conv_int8(const Problem& p, const Int8Micro& micro) {
  const PatchGeometry& g = *p.a.codes().patches;
  std::vector<Convolution> parts;
  for (const ConvAxis& y : conv_axes(g, g.out_height, g.taps_y, g.pad_top, g.height)) {
    for (const ConvAxis& x : conv_axes(g, g.out_width, g.taps_x, g.pad_left, g.width)) parts.emplace_back(p, micro, y, x);
  }
  std::uint64_t events = 0;
#pragma omp parallel reduction(+ : events) if (p.m() * p.n() * p.k() > (1 << 15))
  {
    Convolution::Scratch scratch;
    for (const Convolution& part : parts) {
#pragma omp for schedule(dynamic) nowait
      for (std::int64_t block = 0; block < part.blocks(); ++block) events += part.run(block, scratch);
    }
  }
  return events;
}

}  // namespace ebb::kernels
