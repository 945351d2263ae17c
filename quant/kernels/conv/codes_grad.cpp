#include "quant/kernels/conv/codes_grad.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "core/fetch.h"
#include "quant/kernels/conv/axis.h"
#include "quant/kernels/dense/packing.h"
#include "quant/kernels/epilogue/epilogue.h"

namespace ebb::kernels {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr std::int64_t kChunkBytes =
    192 << 10;  ///< of both sides, interleaved, so that a chunk stays in the second cache level
constexpr std::int64_t kMostPositions = 65535;  ///< whose codes of 16 bits an int32 can sum
constexpr std::int64_t kShares =
    16;  ///< chunks that many images make at the least, for threads to take

/// An interleaved line on any machine; see TileMicrokernel::interleave_line.
void interleave_anywhere(const TileMicrokernel& micro, const GroupedLine& line) {
  constexpr std::int64_t wide = 16;
  const std::int64_t pixels = 4 / micro.code_bytes;  // of a group
  for (std::int64_t c = 0; c < line.channels; c += wide) {
    const std::int64_t cols = std::min(wide, line.channels - c);
    for (std::int64_t i = 0; i < line.positions; i += pixels) {
      std::uint8_t group[4 * wide];
      const std::int64_t count = std::min(pixels, line.positions - i);
      micro.interleave(line.pixels + i * line.stride + c * micro.code_bytes, line.stride, count,
                       wide, line.flip, group, 64, 64);
      std::memcpy(line.out + i / pixels * line.group + c / wide * line.panel, group,
                  static_cast<std::size_t>(4 * cols));
    }
    std::int32_t sums[wide];
    const std::int64_t groups = (line.positions + pixels - 1) / pixels;
    micro.sum_rows(
        {reinterpret_cast<const std::int8_t*>(line.out + c / wide * line.panel), 4, line.group},
        cols, groups * pixels, sums);
    for (std::int64_t j = 0; j < cols; ++j) line.sums[c + j] += sums[j];
  }
}

/// Adds products segment by segment; see TileMicrokernel::add_products.
void add_by_tiles(const TileMicrokernel& micro, const SegmentProducts& s) {
  for (std::int64_t panel = 0; panel < s.panels; panel += kTilePanels) {
    const int count = static_cast<int>(std::min<std::int64_t>(kTilePanels, s.panels - panel));
    for (std::int64_t segment = 0; segment < s.segments; ++segment) {
      for (std::int64_t g = 0; g < s.groups; g += s.run) {
        const TileRight right{s.b + panel * s.panel + (segment * s.groups + g) * 64, s.panel,
                              std::min(s.run, s.groups - g)};
        for (std::int64_t i = 0; i < s.rows; i += micro.rows[count]) {
          const TileLeft left{s.a + segment * s.segment + g * s.group + 4 * i, 4, s.group};
          micro.accumulate(left, right, std::min<std::int64_t>(micro.rows[count], s.rows - i),
                           count, s.shift, s.c + i * s.ldc + kPanel * panel, s.ldc);
        }
      }
    }
  }
}

/// Adds the codes of a row of b to sums.
void add_codes(const CodeMatrix& b, std::int64_t row, std::int32_t* sums) {
  const auto add = [&](const auto* codes) {
    for (std::int64_t j = 0; j < b.cols; ++j) sums[j] += codes[j];
  };
  const std::int64_t at = row * b.row_stride;
  b.container == CodeMatrix::Container::int8 ? add(static_cast<const std::int8_t*>(b.data) + at)
                                             : add(static_cast<const std::int16_t*>(b.data) + at);
}

/// The contraction is cut into chunks of whole images, or of a few lines where an image is large.
/// Rows of the patch matrix that belong to one row of taps, (kx, channel), are neighbours in every
/// group, `rows4_` of them with those that fill up the last tile.
class WeightGradient {
 public:
  WeightGradient(const Problem& problem, const TileMicrokernel& micro)
      : p_(problem),
        micro_(micro),
        y_(conv_axes(geometry(), geometry().out_height, geometry().taps_y, geometry().pad_top,
                     geometry().height)[0]),
        x_(conv_axes(geometry(), geometry().out_width, geometry().taps_x, geometry().pad_left,
                     geometry().width)[0]),
        y_classes_(y_),
        x_classes_(x_),
        common_(x_classes_.of_position[static_cast<std::size_t>(x_.count / 2)]),
        rows_(x_.taps * geometry().channels),
        rows4_(round_up(rows_, 4)),
        n16_(round_up(p_.n(), kPanel)),
        groups_((x_.count * micro.code_bytes + 3) / 4),
        k_split_(problem, micro) {
    const std::int64_t line_bytes = 4 * groups_ * (y_.step * rows4_ + parts() * n16_);
    lines_ = std::clamp<std::int64_t>(kChunkBytes / line_bytes - y_.taps, 1,
                                      std::min(kMostPositions / x_.count, y_.count));
    if (lines_ == y_.count) {
      const std::int64_t fit = std::min(kChunkBytes / (line_bytes * (lines_ + y_.taps)),
                                        kMostPositions / (x_.count * lines_));
      images_ = std::clamp<std::int64_t>(std::min(fit, geometry().images / kShares), 1,
                                         geometry().images);
    }
    for (std::int64_t x = 0; x < x_.count; ++x) {
      if (x_classes_.of_position[static_cast<std::size_t>(x)] != common_) uncommon_.push_back(x);
    }
    phase_lines_ = lines_ + (y_.taps - 1) / y_.step;
    products_.assign(static_cast<std::size_t>(y_.taps * rows4_ * n16_), 0);
    sums_.assign(column_sums_at() + y_classes_.taps.size() * x_classes_.taps.size() *
                                        static_cast<std::size_t>(p_.n()),
                 0);
  }

  [[nodiscard]] std::int64_t chunks() const {
    return lines_ < y_.count ? geometry().images * blocks_an_image()
                             : (geometry().images + images_ - 1) / images_;
  }

  /// What a thread keeps from chunk to chunk.
  struct Scratch {
    Aligned<std::int8_t> line, image;
    Aligned<std::uint8_t> gradient;  ///< [parts][panels][images][lines]
    Aligned<std::int64_t> products;
    Aligned<std::int32_t> sums, line_sums;  ///< `sums`: of rows, then of columns
    PackBuffers buffers;
    std::int64_t positions = 0;  ///< added up in `sums`

    explicit Scratch(const WeightGradient& g)
        : line(static_cast<std::size_t>(
              g.x_.reach(g.x_.count) * g.geometry().channels * g.micro_.code_bytes + kPackSlack)),
          image(static_cast<std::size_t>(g.images_ * g.segment())),
          gradient(static_cast<std::size_t>(g.parts() * g.n16_ / kPanel * g.panel())),
          products(g.products_.size()),
          sums(g.sums_.size()),
          line_sums(static_cast<std::size_t>(std::max(g.rows_, g.p_.n()))) {
      std::fill(line.begin(), line.end(), 0);
      std::fill(image.begin(), image.end(), 0);
      std::fill(gradient.begin(), gradient.end(), 0);
      std::fill(products.begin(), products.end(), 0);
      std::fill(sums.begin(), sums.end(), 0);
    }
  };

  void add(std::int64_t chunk, Scratch& scratch) {
    const bool cut = lines_ < y_.count;
    const std::int64_t image = cut ? chunk / blocks_an_image() : chunk * images_,
                       top = cut ? chunk % blocks_an_image() * lines_ : 0;
    const std::int64_t images = std::min(images_, geometry().images - image),
                       height = std::min(lines_, y_.count - top);
    const std::int64_t positions = images * height * x_.count;
    if (scratch.positions + positions > kMostPositions) flush_sums(scratch);
    scratch.positions += positions;
    for (std::int64_t i = 0; i < images; ++i) {
      pack_image(image + i, top, height, i, scratch);
      for (std::int64_t y = 0; y < height; ++y)
        pack_gradient(image + i, top + y, i * height + y, scratch);
    }
    for (std::int64_t part = 0; part < parts(); ++part) {
      for (std::int64_t ky = 0; ky < y_.taps; ++ky) {
        const SegmentProducts products{
            .a = scratch.image.data() + slot(ky) * image_line(),
            .group = 4 * rows4_,
            .segment = segment(),
            .b = scratch.gradient.data() + part * (n16_ / kPanel) * panel(),
            .panel = panel(),
            .groups = height * groups_,
            .segments = images,
            .rows = rows4_,
            .panels = n16_ / kPanel,
            .run = k_split_.groups,
            .shift = KSplit::shift(k_split_.parts[static_cast<std::size_t>(part)]),
            .c = scratch.products.data() + ky * rows4_ * n16_,
            .ldc = n16_};
        micro_.add_products != nullptr ? micro_.add_products(products)
                                       : add_by_tiles(micro_, products);
      }
    }
  }

  /// Adds what a thread has to the totals.
  void flush(Scratch& scratch) {
    flush_sums(scratch);
#pragma omp critical(ebb_weight_gradient)
    for (std::size_t s = 0; s < products_.size(); ++s) products_[s] += scratch.products[s];
  }

  /// After the last flush and before any finish().
  void resolve() {
    resolve_sums();
    epilogue_.emplace(p_, classes());
  }

  [[nodiscard]] std::int64_t taps() const { return y_.taps * x_.taps; }

  /// Scales the totals of a tap and writes its rows of the result.
  std::uint64_t finish(std::int64_t tap) const {
    const std::int64_t channels = geometry().channels, ky = tap / x_.taps;
    std::vector<std::int64_t> sums(static_cast<std::size_t>(p_.n()));
    std::vector<double> unused;  // images have one grid
    std::uint64_t events = 0;
    for (std::int64_t i = tap * channels; i < (tap + 1) * channels; ++i) {
      const std::int64_t row_sum = sums_[static_cast<std::size_t>(i)];
      const std::int64_t* const products = products_.data() + (ky * rows4_ + i - ky * rows_) * n16_;
      for (std::size_t j = 0; j < sums.size(); ++j) sums[j] = products[j] - micro_.bias * row_sum;
      events += epilogue_->finish(i, 0, sums, row_sum, unused);
    }
    return events;
  }

 private:
  [[nodiscard]] const PatchGeometry& geometry() const { return *p_.a.codes().patches; }
  [[nodiscard]] std::int64_t blocks_an_image() const { return (y_.count + lines_ - 1) / lines_; }
  [[nodiscard]] std::int64_t image_line() const { return 4 * groups_ * rows4_; }
  /// Bytes of the interleaved lines of an image. Padded line q * step + r is at slot r *
  /// phase_lines + q, so that the lines that a row of taps meets are neighbours.
  [[nodiscard]] std::int64_t segment() const { return slots() * image_line(); }
  [[nodiscard]] std::int64_t slots() const { return std::min(y_.step, y_.taps) * phase_lines_; }
  [[nodiscard]] std::int64_t slot(std::int64_t line) const {
    return line % y_.step * phase_lines_ + line / y_.step;
  }
  [[nodiscard]] std::int64_t parts() const {
    return static_cast<std::int64_t>(k_split_.parts.size());
  }
  /// Bytes of a panel of one part of a chunk's gradient.
  [[nodiscard]] std::int64_t panel() const { return images_ * lines_ * groups_ * 64; }
  [[nodiscard]] std::size_t column_sums_at() const {
    return static_cast<std::size_t>((y_.taps + std::min(y_.step, y_.taps)) * rows_);
  }
  void interleave(const GroupedLine& line) const {
    micro_.interleave_line != nullptr ? micro_.interleave_line(line)
                                      : interleave_anywhere(micro_, line);
  }

  void flush_sums(Scratch& scratch) {
#pragma omp critical(ebb_weight_gradient)
    for (std::size_t s = 0; s < sums_.size(); ++s) sums_[s] += scratch.sums[s];
    std::fill(scratch.sums.begin(), scratch.sums.end(), 0);
    scratch.positions = 0;
  }

  /// Interleaves the lines under positions top .. top + height of an image; a position's rows (kx,
  /// channel) are neighbours in the padded line. The codes of a line are summed for all rows of
  /// taps at once, unless it is near the end and some do not meet it.
  void pack_image(std::int64_t image, std::int64_t top, std::int64_t height, std::int64_t at,
                  Scratch& scratch) const {
    const PatchGeometry& g = geometry();
    const std::int64_t left = std::max<std::int64_t>(0, x_.pad),
                       skip = std::max<std::int64_t>(0, -x_.pad);
    const std::int64_t run =
        std::max<std::int64_t>(0, std::min(g.width - skip, x_.reach(x_.count) - left));
    for (std::int64_t line = 0; line < y_.reach(height); ++line) {
      if (line % y_.step >= y_.taps) continue;
      std::int8_t* const to = scratch.image.data() + at * segment() + slot(line) * image_line();
      const std::int64_t sy = top * y_.step + line - y_.pad;
      if (sy < 0 || sy >= g.height || run == 0) {
        std::memset(to, 0, static_cast<std::size_t>(image_line()));
        continue;
      }
      const std::int64_t pixel = g.channels * micro_.code_bytes;
      copy_pixels(p_.a.codes(), (image * g.height + sy) * g.width + skip, run, micro_.code_bytes,
                  scratch.line.data() + left * pixel, pixel);
      const bool met_by_all = line >= y_.taps - 1 && line / y_.step < height;
      std::int32_t* const sums = scratch.sums.data();
      std::int32_t* const line_sums =
          met_by_all ? sums + (y_.taps + line % y_.step) * rows_ : scratch.line_sums.data();
      if (!met_by_all) std::fill_n(line_sums, rows_, 0);
      interleave({.pixels = scratch.line.data(),
                  .stride = x_.step * pixel,
                  .positions = x_.count,
                  .channels = rows_,
                  .flip = 0,
                  .out = reinterpret_cast<std::uint8_t*>(to),
                  .group = 4 * rows4_,
                  .panel = 64,
                  .sums = line_sums});
      for (std::int64_t ky = line % y_.step; !met_by_all && ky < y_.taps && ky <= line;
           ky += y_.step) {
        if ((line - ky) / y_.step >= height) continue;
        for (std::int64_t r = 0; r < rows_; ++r) sums[ky * rows_ + r] += line_sums[r];
      }
    }
  }

  /// Interleaves a line of the gradient, part by part, and sums its codes, and those of the
  /// positions that are not of the commonest class of the x axis, for each class of the y axis.
  void pack_gradient(std::int64_t image, std::int64_t y, std::int64_t line,
                     Scratch& scratch) const {
    const std::int64_t n = p_.n(), first = (image * y_.count + y) * x_.count;
    const auto classes = static_cast<std::int64_t>(x_classes_.taps.size());
    std::int32_t* const sums = scratch.sums.data() + column_sums_at() +
                               y_classes_.of_position[static_cast<std::size_t>(y)] * classes * n;
    for (std::int64_t part = 0; part < parts(); ++part) {
      const Part of = k_split_.parts[static_cast<std::size_t>(part)];
      const Lines lines =
          lines_of(p_.b.codes(), first, x_.count, 0, n, of, micro_.code_bytes, scratch.buffers);
      std::int32_t* const common = sums + common_ * n;
      std::int32_t* const line_sums = KSplit::shift(of) == 0 ? common : scratch.line_sums.data();
      if (line_sums != common) std::fill_n(line_sums, n, 0);
      fetch_ahead(lines.data, x_.count * lines.stride);
      interleave(
          {.pixels = lines.data,
           .stride = lines.stride,
           .positions = x_.count,
           .channels = n,
           .flip = micro_.bias,
           .out = scratch.gradient.data() + part * (n16_ / kPanel) * panel() + line * groups_ * 64,
           .group = 64,
           .panel = panel(),
           .sums = line_sums});
      for (std::int64_t j = 0; line_sums != common && j < n; ++j)
        common[j] += line_sums[j] * (1 << KSplit::shift(of));
    }
    for (const std::int64_t x : uncommon_)
      add_codes(p_.b.codes(), first + x,
                sums + x_classes_.of_position[static_cast<std::size_t>(x)] * n);
  }

  /// Turns what was summed for many rows of taps or for whole lines into sums of each row of taps
  /// and of each class.
  void resolve_sums() {
    std::int64_t* const rows = sums_.data();
    for (std::int64_t ky = 0; ky < y_.taps; ++ky) {
      for (std::int64_t r = 0; r < rows_; ++r)
        rows[ky * rows_ + r] += rows[(y_.taps + ky % y_.step) * rows_ + r];
    }
    std::int64_t* sums = sums_.data() + column_sums_at();
    const std::int64_t n = p_.n();
    for (std::size_t y_class = 0; y_class < y_classes_.taps.size(); ++y_class) {
      std::int64_t* const common = sums + common_ * n;
      for (std::size_t x_class = 0; x_class < x_classes_.taps.size(); ++x_class, sums += n) {
        for (std::int64_t j = 0; sums != common && j < n; ++j) common[j] -= sums[j];
      }
    }
  }

  /// Rows of a tap are a class: its column sums and its valid positions are those of the classes of
  /// positions that contain it.
  [[nodiscard]] RowClasses classes() const {
    const auto contains = [](const auto& taps, std::int64_t tap) {
      return tap >= taps.first && tap < taps.second;
    };
    const auto positions = [&](const ConvClasses& of_axis, std::int64_t tap) {
      return std::count_if(
          of_axis.of_position.begin(), of_axis.of_position.end(),
          [&](std::int32_t c) { return contains(of_axis.taps[static_cast<std::size_t>(c)], tap); });
    };
    const std::int64_t n = p_.n(), channels = geometry().channels;
    RowClasses classes;
    classes.column_sums.assign(static_cast<std::size_t>(taps() * n), 0);
    for (std::int64_t tap = 0; tap < taps(); ++tap) {
      const std::int64_t ky = tap / x_.taps, kx = tap % x_.taps;
      classes.valid.push_back(geometry().images * positions(y_classes_, ky) *
                              positions(x_classes_, kx));
      classes.of_row.insert(classes.of_row.end(), static_cast<std::size_t>(channels),
                            static_cast<std::int32_t>(tap));
      std::int64_t* const sums = classes.column_sums.data() + tap * n;
      const std::int64_t* of_class = sums_.data() + column_sums_at();
      for (const auto& y_taps : y_classes_.taps) {
        for (const auto& x_taps : x_classes_.taps) {
          for (std::int64_t j = 0; contains(y_taps, ky) && contains(x_taps, kx) && j < n; ++j)
            sums[j] += of_class[j];
          of_class += n;
        }
      }
    }
    return classes;
  }

  const Problem& p_;
  const TileMicrokernel& micro_;
  ConvAxis y_, x_;
  ConvClasses y_classes_, x_classes_;
  std::int32_t common_;                 ///< the class of most positions of a line
  std::vector<std::int64_t> uncommon_;  ///< positions of other classes
  std::int64_t rows_, rows4_, n16_;
  std::int64_t groups_;  ///< of a line
  KSplit k_split_;
  std::int64_t lines_, images_ = 1;     ///< of a chunk
  std::int64_t phase_lines_;            ///< of a chunk that meet the same rows of taps
  std::vector<std::int64_t> products_;  ///< [taps_y, rows4, n16]
  std::vector<std::int64_t> sums_;      ///< of the codes of rows, then of columns
  std::optional<Epilogue> epilogue_;
};

}  // namespace

bool conv_codes_grad_applies(const Problem& p) {
  return p.a.codes().patches->out_width <= kMostPositions && p.b.codes().col_stride == 1;
}

std::uint64_t conv_codes_grad(const Problem& p, const TileMicrokernel& micro) {
  WeightGradient product(p, micro);
  std::uint64_t events = 0;
#pragma omp parallel if (product.chunks() > 1 && p.m() * p.n() * p.k() > (1 << 15)) reduction(+ : events)
  {
    WeightGradient::Scratch scratch(product);
#pragma omp for schedule(dynamic) nowait
    for (std::int64_t chunk = 0; chunk < product.chunks(); ++chunk) product.add(chunk, scratch);
    product.flush(scratch);
#pragma omp barrier
#pragma omp single
    product.resolve();
#pragma omp for schedule(static)
    for (std::int64_t tap = 0; tap < product.taps(); ++tap) events += product.finish(tap);
  }
  return events;
}

}  // namespace ebb::kernels
