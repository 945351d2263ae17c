#include "quant/kernels/conv_codes.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "quant/kernels/conv_axis.h"
#include "quant/kernels/packing.h"

namespace ebb::kernels {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr std::int64_t kMostCodes = 65535;  ///< codes of 16 bits whose sum fits an int32

/// Far enough for at least one group of every tap, if there is a way.
KSplit k_split_of(const Problem& p, const TileMicrokernel& micro) {
  const PatchGeometry& g = *p.a.codes().patches;
  return KSplit::with_residues(p, micro, std::max<std::int64_t>(16, g.taps_y * g.taps_x));
}

/// Line y through the tiles that every instruction set has; b has no bias there.
std::uint64_t line_by_tiles(const TileMicrokernel& micro, const ConvLines& l, std::int64_t y) {
  const std::int64_t panels = (l.n + kPanel - 1) / kPanel, taps = l.taps_y * l.taps_x,
                     hop = l.step_x * l.codes.pixel;
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
            const std::int8_t* const pixels = l.codes.pixels + x * hop +
                                              (y * l.step_y + tap / l.taps_x) * l.codes.line +
                                              tap % l.taps_x * l.codes.pixel + 4 * g;
            micro.accumulate({pixels, hop, 4}, {weights, l.codes.panel, together * groups}, rows,
                             count, part + 1 < l.parts ? 8 : 0, tile, ld);
          }
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        const std::span sums(tile + r * ld, static_cast<std::size_t>(cols));
        if (l.wrap_bits > 0) events += wrap_sums(Accumulator::wrap(l.wrap_bits), sums);
        const TileTarget to = l.target(y, x + r);
        const double *const alpha = to.alpha + col, *const beta = to.beta + col,
                            *const gamma = to.gamma[0] + col;
        const double row_sum = to.sums[0];
        float* const out = to.out + col;
        for (std::size_t j = 0; j < sums.size(); ++j)
          out[j] = static_cast<float>(
              (alpha[j] * static_cast<double>(sums[j]) + beta[j] * row_sum) + gamma[j]);
      }
    }
  }
  return events;
}

/// out[i] = the sum of `taps` numbers `hop` apart, the first being x[i].
void add_neighbours(const std::int32_t* x, std::int64_t taps, std::int64_t hop, std::int64_t count,
                    std::int32_t* out) {
  if (taps == 3) {  // the usual case, in a loop that compilers vectorise
    for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] + x[i + hop] + x[i + 2 * hop];
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    std::int32_t sum = 0;
    for (std::int64_t tap = 0; tap < taps; ++tap) sum += x[i + tap * hop];
    out[i] = sum;
  }
}

/// A convolution over one residue of each axis (of stride 1 there is only one): its packed weights
/// and the coefficients of its outputs, which depend on the position only through its class.
class Convolution {
 public:
  Convolution(const Problem& problem, const TileMicrokernel& micro, const ConvAxis& y,
              const ConvAxis& x)
      : p_(problem),
        micro_(micro),
        y_(y),
        x_(x),
        y_classes_(y),
        x_classes_(x),
        n16_(round_up(problem.n(), kPanel)),
        k_split_(k_split_of(problem, micro)),
        unit_(k_split_.residues ? 2 : 1),
        groups_(round_up((geometry().channels * micro.code_bytes + 3) / 4, unit_)),
        slice_(unit_ * k_split_.run(groups_ / unit_, unit_ * std::max<std::int64_t>(1, taps()))),
        panel_(static_cast<std::int64_t>(k_split_.parts.size()) * taps() * groups_ * 64),
        pixel_(4 * groups_),
        line_(x.reach(x.count) * pixel_),
        lines_(std::clamp<std::int64_t>(
            (kBlockBytes / std::max<std::int64_t>(line_, 1) - y.taps) / y.step, 1, y.count)) {
    if (p_.report != nullptr && x.stride == 1 && y.stride == 1) {
      // Whole blocks of reported rows, if lines and images are cut that way.
      const std::int64_t unit = kRowsDone / std::gcd(kRowsDone, x.count);
      if (y.count % unit == 0) lines_ = std::max(unit, lines_ / unit * unit);
      reports_ = y.count % unit == 0 && (y.count % lines_) % unit == 0;
    }
    fill_coefficients(pack_weights());
  }
  Convolution(const Convolution&) = delete;  // it refers to its own coefficients
  Convolution& operator=(const Convolution&) = delete;

  [[nodiscard]] std::int64_t blocks() const { return geometry().images * blocks_an_image(); }

  /// What a thread keeps from block to block.
  struct Scratch {
    Aligned<std::int8_t> pixels, residues;
    std::vector<std::int32_t> pixel_sums, column_sums, sums;
    std::vector<const double*> gamma;

    explicit Scratch(const Convolution& part)
        : pixels(static_cast<std::size_t>(std::max<std::int64_t>(0, part.y_.reach(part.lines_)) *
                                              part.line_ +
                                          2 * kPackSlack)) {
      std::fill(pixels.begin(), pixels.end(), 0);  // the sides of the lines stay so
    }
  };

  std::uint64_t run(std::int64_t block, Scratch& scratch) const {
    const std::int64_t image = block / blocks_an_image(), top = block % blocks_an_image() * lines_;
    const std::int64_t height = std::min(lines_, y_.count - top);
    copy_lines(image, top, height, scratch);
    sum_taps(height, scratch);
    scratch.gamma.clear();
    for (std::int64_t i = 0; i < height; ++i) {
      const auto line = gamma_lines_.begin() +
                        y_classes_.of_position[static_cast<std::size_t>(top + i)] * x_.count;
      scratch.gamma.insert(scratch.gamma.end(), line, line + x_.count);
    }
    const std::int64_t row =
        (image * geometry().out_height + y_.first + top * y_.stride) * geometry().out_width +
        x_.first;
    const std::int8_t* const residues = k_split_.residues ? scratch.residues.data() : nullptr;
    const ConvLines lines{
        .codes = {scratch.pixels.data(), pixel_, line_, weights_.data(), panel_, groups_},
        .residues = {residues, pixel_ / 2, line_ / 2, residue_weights_.data(), panel_ / 2,
                     groups_ / 2},
        .step_y = y_.step,
        .step_x = x_.step,
        .taps_y = y_.taps,
        .taps_x = x_.taps,
        .slice = slice_,
        .parts = static_cast<int>(k_split_.parts.size()),
        .lines = height,
        .positions = x_.count,
        .n = p_.n(),
        .wrap_bits = p_.accumulator.is_exact() ? 0 : p_.accumulator.bits,
        .to = {alpha_.data(), beta_.data(), 0, scratch.gamma.data(), scratch.sums.data(),
               &p_.c(row, 0), x_.stride * p_.out.row_stride},
        .out_line = y_.stride * geometry().out_width * p_.out.row_stride,
        .sums_line = sums_line()};
    std::uint64_t events = 0;
    if (micro_.conv_lines != nullptr) {
      events = micro_.conv_lines(lines);
    } else {
      for (std::int64_t y = 0; y < height; ++y) events += line_by_tiles(micro_, lines, y);
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
    return ((y_.first_tap + ky * y_.stride) * geometry().taps_x + x_.first_tap + kx * x_.stride) *
           geometry().channels;
  }

  /// Packs b run by run, see ConvLine, and returns the sums of its codes under each tap, [taps,
  /// n16].
  std::vector<std::int64_t> pack_weights() {
    weights_.resize(static_cast<std::size_t>(panel_ * (n16_ / kPanel)));
    std::fill(weights_.begin(), weights_.end(), 0);
    if (k_split_.residues) pack_residues();
    std::vector<std::int64_t> sums(static_cast<std::size_t>(taps() * n16_), 0),
        run_sums(static_cast<std::size_t>(n16_));
    PackBuffers buffers;
    std::uint8_t* out = weights_.data();
    const std::int64_t codes = 4 / micro_.code_bytes;  // of a group
    for (const Part part : k_split_.parts) {
      for (std::int64_t group = 0; group < groups_; group += slice_) {
        const std::int64_t groups = std::min(slice_, groups_ - group), channel = group * codes,
                           channels = std::min(groups * codes, geometry().channels - channel);
        for (std::int64_t tap = 0; tap < taps(); ++tap, out += 64 * groups) {
          pack_right(p_.b.codes(), 0, p_.n(), first_row(tap / x_.taps, tap % x_.taps) + channel,
                     channels, part, micro_, buffers, out, panel_);
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

  /// The residues of b, laid out like its codes.
  void pack_residues() {
    const CodeMatrix& b = p_.b.codes();
    // As int8 that the packing of biased bytes turns into 0 .. 254.
    Aligned<std::int8_t> residues(static_cast<std::size_t>(b.rows * n16_));
    for (std::int64_t k = 0; k < b.rows; ++k) {
      for (std::int64_t j = 0; j < n16_; ++j) {
        const std::int32_t code =
            b.code_at(k * b.row_stride + std::min(j, b.cols - 1) * b.col_stride);
        residues[static_cast<std::size_t>(k * n16_ + j)] =
            static_cast<std::int8_t>(((code + 255 * 256) % 255) - 128);
      }
    }
    const CodeMatrix matrix{.data = residues.data(),
                            .rows = b.rows,
                            .cols = p_.n(),
                            .row_stride = n16_,
                            .patches = std::nullopt};
    residue_weights_.resize(weights_.size() / 2);
    PackBuffers buffers;
    std::uint8_t* out = residue_weights_.data();
    for (std::int64_t group = 0; group < groups_; group += slice_) {
      const std::int64_t groups = std::min(slice_, groups_ - group) / 2, channel = 2 * group,
                         channels = std::min(groups * 4, geometry().channels - channel);
      for (std::int64_t tap = 0; tap < taps(); ++tap, out += 64 * groups) {
        pack_right(matrix, 0, p_.n(), first_row(tap / x_.taps, tap % x_.taps) + channel, channels,
                   Part::whole, *micro_.bytes, buffers, out, panel_ / 2);
      }
    }
  }

  void fill_coefficients(const std::vector<std::int64_t>& tap_sums) {
    const std::int64_t n = p_.n();
    const double sa = p_.a.grid().scale, za = p_.a.grid().stored_zero();
    alpha_.assign(static_cast<std::size_t>(n16_), 0.0);
    beta_ = alpha_;
    gamma_.assign(y_classes_.taps.size() * x_classes_.taps.size() * alpha_.size(), 0.0);
    for (std::int64_t j = 0; j < n; ++j) {
      const Grid& grid = p_.b.grid(p_.b.granularity() == Granularity::per_column ? j : 0);
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
          const auto valid =
              static_cast<double>((y_end - y_begin) * (x_end - x_begin) * geometry().channels);
          *out = (za * sb) * static_cast<double>(sum) + (za * zb) * valid;
          out += n16_;
        }
      }
    }
    const double* of_class = gamma_.data();
    for (std::size_t y = 0; y < y_classes_.taps.size();
         ++y, of_class += static_cast<std::int64_t>(x_classes_.taps.size()) * n16_) {
      for (const std::int32_t x : x_classes_.of_position)
        gamma_lines_.push_back(of_class + x * n16_);
    }
  }

  /// Copies the source lines of positions top .. top + height, padded with zeros, and sums the
  /// codes of each pixel.
  void copy_lines(std::int64_t image, std::int64_t top, std::int64_t height,
                  Scratch& scratch) const {
    const PatchGeometry& g = geometry();
    const std::int64_t lines = y_.reach(height), wide = line_ / pixel_;
    const std::int64_t left = std::max<std::int64_t>(0, x_.pad),
                       skip = std::max<std::int64_t>(0, -x_.pad);
    const std::int64_t run = std::min(g.width - skip, wide - left);
    for (std::int64_t y = 0; y < lines; ++y) {
      const std::int64_t sy = top * y_.step + y - y_.pad;
      std::int8_t* const line = scratch.pixels.data() + y * line_;
      if (sy < 0 || sy >= g.height || run <= 0) {
        std::fill_n(line, line_, 0);
      } else {
        copy_pixels(p_.a.codes(), (image * g.height + sy) * g.width + skip, run, micro_.code_bytes,
                    line + left * pixel_, pixel_);
      }
    }
    if (k_split_.residues) {
      const std::int64_t codes = round_up(std::max<std::int64_t>(lines, 0) * line_ / 2, 32);
      scratch.residues.resize(static_cast<std::size_t>(codes + kPackSlack));
      micro_.residues(reinterpret_cast<const std::int16_t*>(scratch.pixels.data()), codes, 0,
                      scratch.residues.data());
    }
    scratch.pixel_sums.resize(static_cast<std::size_t>(std::max<std::int64_t>(lines, 0) * wide));
    micro_.sum_rows({scratch.pixels.data(), pixel_, 4},
                    static_cast<std::int64_t>(scratch.pixel_sums.size()), g.channels,
                    scratch.pixel_sums.data());
  }

  /// Numbers from line to line of the sums below.
  [[nodiscard]] std::int64_t sums_line() const { return std::max(line_ / pixel_, x_.count); }

  /// The sum of the codes under the taps of each position; padded taps are zeros there. Lines are
  /// added as if they were one; what comes of taps that reach into the next line belongs to no
  /// position.
  void sum_taps(std::int64_t height, Scratch& scratch) const {
    const std::int64_t wide = sums_line();
    scratch.sums.resize(static_cast<std::size_t>(height * wide));
    if (taps() == 0) return std::fill(scratch.sums.begin(), scratch.sums.end(), 0);
    scratch.column_sums.resize(scratch.sums.size());
    const std::int64_t at_once = y_.step == 1 ? height : 1;
    for (std::int64_t y = 0; y < height; y += at_once)
      add_neighbours(scratch.pixel_sums.data() + y * y_.step * wide, y_.taps, wide, at_once * wide,
                     scratch.column_sums.data() + y * wide);
    add_neighbours(scratch.column_sums.data(), x_.taps, 1, height * wide - (x_.taps - 1),
                   scratch.sums.data());
    for (std::int64_t y = 0; x_.step > 1 && y < height; ++y) {
      std::int32_t* const sums = scratch.sums.data() + y * wide;
      for (std::int64_t x = 0; x < x_.count; ++x) sums[x] = sums[x * x_.step];
    }
  }

  const Problem& p_;
  const TileMicrokernel& micro_;
  ConvAxis y_, x_;
  ConvClasses y_classes_, x_classes_;
  std::int64_t n16_;
  KSplit k_split_;
  std::int64_t unit_, groups_;  ///< of a pixel: a multiple of `unit_`
  std::int64_t slice_;          ///< groups of a pixel in one run
  std::int64_t panel_;          ///< bytes of packed weights
  std::int64_t pixel_, line_;   ///< bytes of a pixel and of a padded line
  std::int64_t lines_;          ///< positions of the y axis that a block covers
  bool reports_ = false;
  Aligned<std::uint8_t> weights_, residue_weights_;
  std::vector<double> alpha_, beta_, gamma_;  ///< gamma: [y classes, x classes, n16]
  std::vector<const double*>
      gamma_lines_;  ///< gamma of each position of a line, [y classes, positions]
};

}  // namespace

bool conv_applies(const Problem& p, const TileMicrokernel& micro) {
  const CodeMatrix& a = p.a.codes();
  if (!a.patches || a.patches_transposed || p.transposed_out) return false;
  const PatchGeometry& g = *a.patches;
  const bool one_run = g.step == 1 || g.divide == 1;
  return one_run && g.cols() <= kMostCodes && k_split_of(p, micro).groups >= g.taps_y * g.taps_x;
}

std::uint64_t conv_codes(const Problem& p, const TileMicrokernel& micro) {
  const PatchGeometry& g = *p.a.codes().patches;
  std::deque<Convolution> parts;  // which stay where they are
  for (const ConvAxis& y : conv_axes(g, g.out_height, g.taps_y, g.pad_top, g.height)) {
    for (const ConvAxis& x : conv_axes(g, g.out_width, g.taps_x, g.pad_left, g.width))
      parts.emplace_back(p, micro, y, x);
  }
  std::uint64_t events = 0;
#pragma omp parallel reduction(+ : events) if (p.m() * p.n() * p.k() > (1 << 15))
  {
    for (const Convolution& part : parts) {
      Convolution::Scratch scratch(part);
#pragma omp for schedule(dynamic) nowait
      for (std::int64_t block = 0; block < part.blocks(); ++block)
        events += part.run(block, scratch);
    }
  }
  return events;
}

}  // namespace ebb::kernels
