#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "quant/kernels/conv/codes_grad.h"
#include "quant/kernels/conv/plan.h"
#include "quant/kernels/dense/packing.h"
#include "quant/kernels/epilogue/epilogue.h"
#include "quant/kernels/registry.h"

namespace ebb::kernels {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr std::int64_t kMostCodes = 65535;  ///< codes of 16 bits whose sum fits an int32

/// Far enough for at least one group of every tap, if there is a way.
KSplit k_split_of(const Problem& p, const TileMicrokernel& micro) {
  const PatchGeometry& g = *p.a.codes().patches;
  return KSplit(p, micro, std::max<std::int64_t>(16, g.taps_y * g.taps_x));
}

/// Line y through the tiles that every instruction set has; b has no bias there.
std::uint64_t line_by_tiles(const TileMicrokernel& micro, const ConvLines& l, std::int64_t y) {
  const std::int64_t panels = (l.n + kPanel - 1) / kPanel, taps = l.taps_y * l.taps_x,
                     stride = l.step_x * l.codes.pixel;
  // A row of taps is one run of groups where pixels are taken whole.
  const std::int64_t together = l.slice >= l.codes.groups ? std::max<std::int64_t>(1, l.taps_x) : 1;
  std::int64_t tile[kTileRows * kTilePanels * kPanel];
  std::uint64_t events = 0;
  for (std::int64_t panel = 0; panel < panels; panel += kTilePanels) {
    const int count = static_cast<int>(std::min<std::int64_t>(kTilePanels, panels - panel));
    const std::int64_t ld = count * kPanel, col = panel * kPanel, cols = std::min(ld, l.n - col);
    for (std::int64_t x = 0; x < l.positions; x += micro.rows[count]) {
      const std::int64_t rows = std::min<std::int64_t>(micro.rows[count], l.positions - x);
      std::fill_n(tile, rows * ld, 0);
      for (int part = 0; part < l.parts; ++part) {
        for (std::int64_t g = 0; g < l.codes.groups; g += l.slice) {
          const std::int64_t groups = std::min(l.slice, l.codes.groups - g);
          const std::uint8_t* weights =
              l.codes.weights + panel * l.codes.panel + (part * l.codes.groups + g) * taps * 64;
          for (std::int64_t tap = 0; tap < taps;
               tap += together, weights += together * groups * 64) {
            const std::int8_t* const pixels = l.codes.pixels + x * stride +
                                              (y * l.step_y + tap / l.taps_x) * l.codes.line +
                                              tap % l.taps_x * l.codes.pixel + 4 * g;
            micro.accumulate({pixels, stride, 4}, {weights, l.codes.panel, together * groups}, rows,
                             count, part + 1 < l.parts ? 8 : 0, tile, ld);
          }
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        std::int64_t* const sums = tile + r * ld;
        if (l.wrap_bits > 0) events += wrap(sums, cols, l.wrap_bits);
        const TileTarget to = target_of(l, y, x + r);
        scale_sums(sums, cols, static_cast<double>(to.sums[0]), to.scale_ab + col, to.zero_b + col,
                   to.constant[0] + col, to.out + col);
      }
    }
  }
  return events;
}

/// out[i] = the sum of `taps` numbers `stride` apart, the first being x[i].
void add_neighbours(const std::int32_t* x, std::int64_t taps, std::int64_t stride,
                    std::int64_t count, std::int32_t* out) {
  if (taps == 3) {  // the usual case, in a loop that compilers vectorise
    for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] + x[i + stride] + x[i + 2 * stride];
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    std::int32_t sum = 0;
    for (std::int64_t tap = 0; tap < taps; ++tap) sum += x[i + tap * stride];
    out[i] = sum;
  }
}

/// One residue of each axis: its packed weights and the coefficients of its outputs, which depend
/// on the position only through its class.
class Convolution {
 public:
  Convolution(const Problem& problem, const TileMicrokernel& micro, const ConvAxis& y,
              const ConvAxis& x)
      : p_(problem),
        micro_(micro),
        y_classes_(y),
        x_classes_(x),
        n16_(round_up(problem.n(), kPanel)),
        k_split_(k_split_of(problem, micro)),
        groups_((problem.a.codes().patches->channels * micro.code_bytes + 3) / 4),
        plan_(problem, y, x, 4 * groups_, kBlockBytes),
        slice_(k_split_.run(groups_, std::max<std::int64_t>(1, plan_.taps()))),
        panel_(static_cast<std::int64_t>(k_split_.parts.size()) * plan_.taps() * groups_ * 64) {
    const Epilogue& epilogue = epilogue_.emplace(p_, classes_of(pack_weights()), n16_);
    for (std::size_t y_class = 0; y_class < y_classes_.taps.size(); ++y_class) {
      for (const std::int32_t x_class : x_classes_.of_position) {
        const auto first = static_cast<std::int64_t>(y_class * x_classes_.taps.size());
        constant_lines_.push_back(epilogue.of_class(first + x_class).constant);
      }
    }
  }
  Convolution(const Convolution&) = delete;  // it refers to its own coefficients
  Convolution& operator=(const Convolution&) = delete;

  [[nodiscard]] const ConvPlan& plan() const { return plan_; }

  /// What a thread keeps from block to block.
  struct Scratch {
    Aligned<std::int8_t> pixels;
    std::vector<std::int32_t> pixel_sums, column_sums, sums;
    std::vector<const double*> constants;

    explicit Scratch(const Convolution& part)
        : pixels(static_cast<std::size_t>(part.plan_.block_numbers() + 2 * kPackSlack)) {
      std::fill(pixels.begin(), pixels.end(), 0);  // the sides of the lines stay so
    }
  };

  std::uint64_t run(const ConvPlan::Block& block, Scratch& scratch) const {
    copy_lines(block, scratch);
    sum_taps(block.height, scratch);
    scratch.constants.clear();
    for (std::int64_t i = 0; i < block.height; ++i) {
      const auto line =
          constant_lines_.begin() +
          y_classes_.of_position[static_cast<std::size_t>(block.top + i)] * plan_.x.count;
      scratch.constants.insert(scratch.constants.end(), line, line + plan_.x.count);
    }
    const ConvLines lines{
        .codes = {scratch.pixels.data(), plan_.pixel, plan_.line, weights_.data(), panel_, groups_},
        .step_y = plan_.y.step,
        .step_x = plan_.x.step,
        .taps_y = plan_.y.taps,
        .taps_x = plan_.x.taps,
        .slice = slice_,
        .parts = static_cast<int>(k_split_.parts.size()),
        .lines = block.height,
        .positions = plan_.x.count,
        .n = p_.n(),
        .wrap_bits = p_.accumulator.is_exact() ? 0 : p_.accumulator.bits,
        .to = {epilogue_->of_class(0).scale_ab, epilogue_->of_class(0).zero_b, 0,
               scratch.constants.data(), scratch.sums.data(), &p_.c(block.row, 0),
               plan_.x.stride * p_.out.row_stride},
        .out_line = plan_.rows_a_line() * p_.out.row_stride,
        .sums_line = sums_line()};
    std::uint64_t events = 0;
    if (micro_.conv_lines != nullptr) {
      events = micro_.conv_lines(lines);
    } else {
      for (std::int64_t y = 0; y < block.height; ++y) events += line_by_tiles(micro_, lines, y);
    }
    plan_.report(block);
    return events;
  }

 private:
  /// Packs b run by run, see ConvLine, and returns the sums of its codes under each tap, [taps,
  /// n16].
  std::vector<std::int64_t> pack_weights() {
    weights_.resize(static_cast<std::size_t>(panel_ * (n16_ / kPanel)));
    std::fill(weights_.begin(), weights_.end(), 0);
    std::vector<std::int64_t> sums(static_cast<std::size_t>(plan_.taps() * n16_), 0),
        run_sums(static_cast<std::size_t>(n16_));
    PackBuffers buffers;
    std::uint8_t* out = weights_.data();
    const std::int64_t codes = 4 / micro_.code_bytes;  // of a group
    for (const Part part : k_split_.parts) {
      for (std::int64_t group = 0; group < groups_; group += slice_) {
        const std::int64_t groups = std::min(slice_, groups_ - group), channel = group * codes,
                           channels = std::min(groups * codes, plan_.geometry.channels - channel);
        for (std::int64_t tap = 0; tap < plan_.taps(); ++tap, out += 64 * groups) {
          pack_right(p_.b.codes(), 0, p_.n(), plan_.row_of_tap(tap) + channel, channels, part,
                     micro_, buffers, out, panel_);
          std::fill(run_sums.begin(), run_sums.end(), 0);
          add_column_sums(micro_, {out, panel_, groups}, n16_ / kPanel, run_sums.data());
          for (std::size_t j = 0; j < run_sums.size(); ++j) {
            const std::int64_t biased = micro_.bias != 0 ? 128 * channels : 0;
            sums[static_cast<std::size_t>(tap * n16_) + j] +=
                (run_sums[j] - biased) * (std::int64_t{1} << KSplit::shift(part));
          }
        }
      }
    }
    return sums;
  }

  /// Positions are alike where the same taps fall inside the image: [y classes, x classes].
  [[nodiscard]] RowClasses classes_of(const std::vector<std::int64_t>& tap_sums) const {
    RowClasses classes;
    for (const auto& [y_begin, y_end] : y_classes_.taps) {
      for (const auto& [x_begin, x_end] : x_classes_.taps) {
        classes.valid.push_back((y_end - y_begin) * (x_end - x_begin) * plan_.geometry.channels);
        const std::size_t at = classes.column_sums.size();
        classes.column_sums.resize(at + static_cast<std::size_t>(p_.n()), 0);
        for (std::int64_t ky = y_begin; ky < y_end; ++ky) {
          for (std::int64_t kx = x_begin; kx < x_end; ++kx) {
            const std::int64_t* const from = tap_sums.data() + (ky * plan_.x.taps + kx) * n16_;
            for (std::int64_t j = 0; j < p_.n(); ++j)
              classes.column_sums[at + static_cast<std::size_t>(j)] += from[j];
          }
        }
      }
    }
    return classes;
  }

  /// Copies the source lines of a block, padded with zeros, and sums the codes of each pixel.
  void copy_lines(const ConvPlan::Block& block, Scratch& scratch) const {
    plan_.copy_lines(block, scratch.pixels.data(),
                     [&](std::int64_t at, std::int64_t pixels, std::int8_t* to) {
                       copy_pixels(p_.a.codes(), at, pixels, micro_.code_bytes, to, plan_.pixel);
                     });
    const std::int64_t lines = std::max<std::int64_t>(0, plan_.y.reach(block.height));
    scratch.pixel_sums.resize(static_cast<std::size_t>(lines * plan_.line / plan_.pixel));
    micro_.sum_rows({scratch.pixels.data(), plan_.pixel, 4},
                    static_cast<std::int64_t>(scratch.pixel_sums.size()), plan_.geometry.channels,
                    scratch.pixel_sums.data());
  }

  /// Numbers from line to line of the sums below.
  [[nodiscard]] std::int64_t sums_line() const {
    return std::max(plan_.line / plan_.pixel, plan_.x.count);
  }

  /// The sum of the codes under the taps of each position; padded taps are zeros there. Lines are
  /// added as if they were one; what comes of taps that reach into the next line belongs to no
  /// position.
  void sum_taps(std::int64_t height, Scratch& scratch) const {
    const std::int64_t wide = sums_line();
    scratch.sums.resize(static_cast<std::size_t>(height * wide));
    if (plan_.taps() == 0) return std::fill(scratch.sums.begin(), scratch.sums.end(), 0);
    scratch.column_sums.resize(scratch.sums.size());
    const std::int64_t at_once = plan_.y.step == 1 ? height : 1;
    for (std::int64_t y = 0; y < height; y += at_once)
      add_neighbours(scratch.pixel_sums.data() + y * plan_.y.step * wide, plan_.y.taps, wide,
                     at_once * wide, scratch.column_sums.data() + y * wide);
    add_neighbours(scratch.column_sums.data(), plan_.x.taps, 1, height * wide - (plan_.x.taps - 1),
                   scratch.sums.data());
    for (std::int64_t y = 0; plan_.x.step > 1 && y < height; ++y) {
      std::int32_t* const sums = scratch.sums.data() + y * wide;
      for (std::int64_t x = 0; x < plan_.x.count; ++x) sums[x] = sums[x * plan_.x.step];
    }
  }

  const Problem& p_;
  const TileMicrokernel& micro_;
  ConvClasses y_classes_, x_classes_;
  std::int64_t n16_;
  KSplit k_split_;
  std::int64_t groups_;  ///< of a pixel
  ConvPlan plan_;
  std::int64_t slice_;  ///< groups of a pixel in one run
  std::int64_t panel_;  ///< bytes of packed weights
  Aligned<std::uint8_t> weights_;
  std::optional<Epilogue> epilogue_;
  std::vector<const double*>
      constant_lines_;  ///< constant of each position of a line, [y classes, positions]
};

}  // namespace

bool conv_codes_apply(const Problem& p, const TileMicrokernel& micro) {
  if (is_weight_gradient(p)) return conv_codes_grad_applies(p);
  const PatchGeometry* const g = is_convolution(p) ? &*p.a.codes().patches : nullptr;
  return g != nullptr && g->cols() <= kMostCodes &&
         k_split_of(p, micro).groups >= g->taps_y * g->taps_x;
}

std::uint64_t convolve_codes(const Problem& p, const TileMicrokernel& micro) {
  return is_weight_gradient(p) ? conv_codes_grad(p, micro) : run_convolution<Convolution>(p, micro);
}

}  // namespace ebb::kernels
