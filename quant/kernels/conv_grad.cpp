#include "quant/kernels/conv_grad.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "quant/kernels/conv_axis.h"
#include "quant/kernels/gather.h"

namespace ebb::kernels {
namespace {

constexpr std::int64_t kChunkBytes = 192 << 10;  ///< of both sides, interleaved, so that a chunk stays in the second cache level
constexpr std::int64_t kShares = 16;             ///< chunks that many images make at the least, for threads to take

/// An interleaved line on any machine; see Int8Micro::interleave.
void interleave_anywhere(const GroupedLine& line) {
  constexpr std::int64_t wide = 16;
  for (std::int64_t c = 0; c < line.channels; c += wide) {
    const std::int64_t cols = std::min(wide, line.channels - c);
    std::int32_t sums[wide] = {};
    for (std::int64_t i = 0; i < line.positions; i += 4) {
      std::uint8_t group[4 * wide];
      const std::int64_t count = std::min<std::int64_t>(4, line.positions - i);
      const std::int8_t* const pixels = line.pixels + i * line.hop + c;
      interleave_by_four(pixels, line.hop, count, wide, line.flip, group, 0);
      std::memcpy(line.out + i / 4 * line.group + 4 * c, group, static_cast<std::size_t>(4 * cols));
      for (std::int64_t t = 0; t < count; ++t) {
        for (std::int64_t j = 0; j < wide; ++j) sums[j] += pixels[t * line.hop + j];
      }
    }
    for (std::int64_t j = 0; j < cols; ++j) line.sums[c + j] += sums[j];
  }
}

/// Adds products tile by tile; see Int8Micro::add_products.
void add_by_tiles(const Int8Micro& micro, const Int8Left& a, const Int8Right& b, std::int64_t rows, std::int64_t panels,
                  std::int32_t* c, std::int64_t ldc) {
  std::int32_t tile[kMaxRows * kMaxPanels * kPanel];
  for (std::int64_t panel = 0; panel < panels; panel += kMaxPanels) {
    const int count = static_cast<int>(std::min<std::int64_t>(kMaxPanels, panels - panel));
    const std::int64_t ld = count * kPanel;
    Int8Right right = b;
    right.data += panel * b.panel;
    for (std::int64_t i = 0; i < rows; i += micro.rows[count]) {
      const int height = static_cast<int>(std::min<std::int64_t>(micro.rows[count], rows - i));
      micro.multiply({a.data + i * a.row, a.row, a.group, a.segment}, right, height, count, tile, ld);
      for (std::int64_t r = 0; r < height; ++r) {
        std::int32_t* const to = c + (i + r) * ldc + panel * kPanel;
        for (std::int64_t j = 0; j < ld; ++j) to[j] += tile[r * ld + j];
      }
    }
  }
}

/// The contraction is cut into chunks of whole images, or of a few lines where an image is large. Rows of the patch matrix that
/// belong to one row of taps, (kx, channel), are neighbours in every group, `rows4_` of them with those that fill up the last tile.
class WeightGradient {
 public:
  WeightGradient(const Problem& problem, const Int8Micro& micro)
      : p_(problem),
        micro_(micro),
        y_(conv_axes(geometry(), geometry().out_height, geometry().taps_y, geometry().pad_top, geometry().height)[0]),
        x_(conv_axes(geometry(), geometry().out_width, geometry().taps_x, geometry().pad_left, geometry().width)[0]),
        y_classes_(y_),
        x_classes_(x_),
        common_(x_classes_.of_position[static_cast<std::size_t>(x_.count / 2)]),
        rows_(x_.taps * geometry().channels),
        rows4_(round_up(rows_, 4)),
        n16_(round_up(p_.n(), kPanel)),
        groups_((x_.count + 3) / 4) {
    const std::int64_t line_bytes = 4 * groups_ * (y_.step * rows4_ + n16_), most_lines = std::min(kMaxGroups / groups_, y_.count);
    lines_ = std::clamp<std::int64_t>(kChunkBytes / line_bytes - y_.taps, 1, most_lines);
    if (lines_ == y_.count) {
      const std::int64_t fit = std::min(kChunkBytes / (line_bytes * (lines_ + y_.taps)), kMaxGroups / (groups_ * lines_));
      images_ = std::clamp<std::int64_t>(std::min(fit, geometry().images / kShares), 1, geometry().images);
    }
    for (std::int64_t x = 0; x < x_.count; ++x) {
      if (x_classes_.of_position[static_cast<std::size_t>(x)] != common_) uncommon_.push_back(x);
    }
    residue_lines_ = lines_ + (y_.taps - 1) / y_.step;
    totals_.assign(totals_size(), 0);
  }

  [[nodiscard]] std::int64_t chunks() const {
    return lines_ < y_.count ? geometry().images * blocks_an_image() : (geometry().images + images_ - 1) / images_;
  }

  /// What a thread keeps from chunk to chunk. The sums of products, of rows and of columns lie one after the other.
  struct Scratch {
    Aligned<std::int8_t> line, image;
    Aligned<std::uint8_t> gradient;
    Aligned<std::int32_t> sums, line_sums;
    std::int64_t groups = 0;  ///< added up in `sums`

    explicit Scratch(const WeightGradient& g)
        : line(static_cast<std::size_t>(g.x_.reach(g.x_.count) * g.geometry().channels + kSlack)),
          image(static_cast<std::size_t>(g.images_ * g.segment())),
          gradient(static_cast<std::size_t>(g.images_ * g.lines_ * g.groups_ * 4 * g.n16_)),
          sums(g.totals_size()),
          line_sums(static_cast<std::size_t>(g.rows_)) {
      std::fill(line.begin(), line.end(), 0);
      std::fill(image.begin(), image.end(), 0);
      std::fill(gradient.begin(), gradient.end(), 0);
      std::fill(sums.begin(), sums.end(), 0);
    }
  };

  void add(std::int64_t chunk, Scratch& scratch) {
    const bool cut = lines_ < y_.count;
    const std::int64_t image = cut ? chunk / blocks_an_image() : chunk * images_,
                       top = cut ? chunk % blocks_an_image() * lines_ : 0;
    const std::int64_t images = std::min(images_, geometry().images - image), height = std::min(lines_, y_.count - top);
    const std::int64_t groups = images * height * groups_;
    if (scratch.groups + groups > kMaxGroups) flush(scratch);
    scratch.groups += groups;
    std::uint8_t* gradient = scratch.gradient.data();
    for (std::int64_t i = 0; i < images; ++i) {
      pack_image(image + i, top, height, scratch.image.data() + i * segment(), scratch);
      for (std::int64_t y = top; y < top + height; ++y, gradient += 4 * groups_ * n16_)
        pack_gradient(image + i, y, gradient, scratch);
    }
    const Int8Right right{scratch.gradient.data(), 64, 4 * n16_, height * groups_, images};
    for (std::int64_t ky = 0; ky < y_.taps; ++ky) {
      const Int8Left left{scratch.image.data() + slot(ky) * image_line(), 4, 4 * rows4_, segment()};
      std::int32_t* const to = scratch.sums.data() + ky * rows4_ * n16_;
      if (micro_.add_products != nullptr) {
        micro_.add_products(left, right, rows4_, n16_ / kPanel, to, n16_);
      } else {
        add_by_tiles(micro_, left, right, rows4_, n16_ / kPanel, to, n16_);
      }
    }
  }

  /// Moves a thread's sums, which are near an int32's end, to the totals.
  void flush(Scratch& scratch) {
#pragma omp critical(ebb_weight_gradient)
    for (std::size_t s = 0; s < totals_.size(); ++s) totals_[s] += scratch.sums[s];
    std::fill(scratch.sums.begin(), scratch.sums.end(), 0);
    scratch.groups = 0;
  }

  /// Scales the totals and writes the result.
  std::uint64_t finish() {
    resolve_sums();
    const double sa = p_.a.grid().scale, za = p_.a.grid().stored_zero();
    std::vector<double> alpha, beta, gamma(static_cast<std::size_t>(p_.n()));
    for (std::int64_t j = 0; j < p_.n(); ++j) {
      const Grid& grid = column_grid(j);
      alpha.push_back(sa * static_cast<double>(grid.scale));
      beta.push_back(sa * grid.stored_zero());
    }
    std::vector<std::int64_t> sums(gamma.size());
    std::uint64_t events = 0;
    for (std::int64_t ky = 0; ky < y_.taps; ++ky) {
      for (std::int64_t r = 0; r < rows_; ++r) {
        if (r % geometry().channels == 0) fill_gamma(ky, r / geometry().channels, za, gamma);
        const std::int64_t* const products = totals_.data() + (ky * rows4_ + r) * n16_;
        const std::int64_t row_sum = totals_[row_sums_at() + static_cast<std::size_t>(ky * rows_ + r)];
        const std::int64_t bias = micro_.biased_b ? 128 * row_sum : 0;
        for (std::size_t j = 0; j < sums.size(); ++j) sums[j] = products[j] - bias;
        events += wrap_sums(p_.accumulator, sums);
        for (std::size_t j = 0; j < sums.size(); ++j) {
          const double scaled = alpha[j] * static_cast<double>(sums[j]) + beta[j] * static_cast<double>(row_sum);
          p_.c(ky * rows_ + r, static_cast<std::int64_t>(j)) = static_cast<float>(scaled + gamma[j]);
        }
      }
    }
    return events;
  }

 private:
  [[nodiscard]] const PatchGeometry& geometry() const { return *p_.a.codes().patches; }
  [[nodiscard]] const Grid& column_grid(std::int64_t j) const { return p_.b.grid(p_.b.axis() == GridAxis::columns ? j : 0); }
  [[nodiscard]] std::int64_t blocks_an_image() const { return (y_.count + lines_ - 1) / lines_; }
  [[nodiscard]] std::int64_t image_line() const { return 4 * groups_ * rows4_; }
  /// Bytes of the interleaved lines of an image. Padded line q * step + r is at slot r * residue_lines + q, so that the lines that
  /// a row of taps meets are neighbours.
  [[nodiscard]] std::int64_t segment() const { return std::min(y_.step, y_.taps) * residue_lines_ * image_line(); }
  [[nodiscard]] std::int64_t slot(std::int64_t line) const { return line % y_.step * residue_lines_ + line / y_.step; }
  [[nodiscard]] std::size_t row_sums_at() const { return static_cast<std::size_t>(y_.taps * rows4_ * n16_); }
  [[nodiscard]] std::size_t column_sums_at() const {
    return row_sums_at() + static_cast<std::size_t>((y_.taps + std::min(y_.step, y_.taps)) * rows_);
  }
  [[nodiscard]] std::size_t totals_size() const {
    return column_sums_at() + y_classes_.taps.size() * x_classes_.taps.size() * static_cast<std::size_t>(p_.n());
  }
  void interleave(const GroupedLine& line) const {
    micro_.interleave != nullptr ? micro_.interleave(line) : interleave_anywhere(line);
  }

  /// Interleaves the lines under positions top .. top + height of an image; a position's rows (kx, channel) are neighbours in the
  /// padded line. The codes of a line are summed for all rows of taps at once, unless it is near the end and some do not meet it.
  void pack_image(std::int64_t image, std::int64_t top, std::int64_t height, std::int8_t* out, Scratch& scratch) const {
    const PatchGeometry& g = geometry();
    const std::int64_t left = std::max<std::int64_t>(0, x_.pad), skip = std::max<std::int64_t>(0, -x_.pad);
    const std::int64_t run = std::max<std::int64_t>(0, std::min(g.width - skip, x_.reach(x_.count) - left));
    for (std::int64_t line = 0; line < y_.reach(height); ++line) {
      if (line % y_.step >= y_.taps) continue;
      std::int8_t* const to = out + slot(line) * image_line();
      const std::int64_t sy = top * y_.step + line - y_.pad;
      if (sy < 0 || sy >= g.height || run == 0) {
        std::memset(to, 0, static_cast<std::size_t>(image_line()));
        continue;
      }
      copy_pixels(int8_codes(p_.a.codes()) + ((image * g.height + sy) * g.width + skip) * g.pixel_stride, run,
                  scratch.line.data() + left * g.channels);
      const bool met_by_all = line >= y_.taps - 1 && line / y_.step < height;
      std::int32_t* const sums = scratch.sums.data() + row_sums_at();
      std::int32_t* const line_sums = met_by_all ? sums + (y_.taps + line % y_.step) * rows_ : scratch.line_sums.data();
      if (!met_by_all) std::fill_n(line_sums, rows_, 0);
      interleave({.pixels = scratch.line.data(),
                  .hop = x_.step * g.channels,
                  .positions = x_.count,
                  .channels = rows_,
                  .flip = 0,
                  .out = reinterpret_cast<std::uint8_t*>(to),
                  .group = 4 * rows4_,
                  .sums = line_sums});
      for (std::int64_t ky = line % y_.step; !met_by_all && ky < y_.taps && ky <= line; ky += y_.step) {
        if ((line - ky) / y_.step >= height) continue;
        for (std::int64_t r = 0; r < rows_; ++r) sums[ky * rows_ + r] += line_sums[r];
      }
    }
  }

  void copy_pixels(const std::int8_t* from, std::int64_t pixels, std::int8_t* to) const {
    const std::int64_t channels = geometry().channels, stride = geometry().pixel_stride;
    if (channels == stride) {
      std::memcpy(to, from, static_cast<std::size_t>(pixels * channels));
    } else {
      for (std::int64_t i = 0; i < pixels; ++i)
        std::memcpy(to + i * channels, from + i * stride, static_cast<std::size_t>(channels));
    }
  }

  /// Interleaves a line of the gradient and sums its codes, and those of the positions that are not of the commonest class of the x
  /// axis, for each class of the y axis.
  void pack_gradient(std::int64_t image, std::int64_t y, std::uint8_t* out, Scratch& scratch) const {
    const CodeMatrix& b = p_.b.codes();
    const std::int8_t* const line = int8_codes(b) + (image * y_.count + y) * x_.count * b.row_stride;
    const auto classes = static_cast<std::int64_t>(x_classes_.taps.size());
    std::int32_t* const sums =
        scratch.sums.data() + column_sums_at() + y_classes_.of_position[static_cast<std::size_t>(y)] * classes * p_.n();
    interleave({.pixels = line,
                .hop = b.row_stride,
                .positions = x_.count,
                .channels = p_.n(),
                .flip = static_cast<std::uint8_t>(micro_.biased_b ? 0x80 : 0),
                .out = out,
                .group = 4 * n16_,
                .sums = sums + common_ * p_.n()});
    for (const std::int64_t x : uncommon_) {
      std::int32_t* const to = sums + x_classes_.of_position[static_cast<std::size_t>(x)] * p_.n();
      const std::int8_t* const codes = line + x * b.row_stride;
      for (std::int64_t j = 0; j < p_.n(); ++j) to[j] += codes[j];
    }
  }

  /// Turns what was summed for many rows of taps or for whole lines into sums of each row of taps and of each class.
  void resolve_sums() {
    std::int64_t* const rows = totals_.data() + row_sums_at();
    for (std::int64_t ky = 0; ky < y_.taps; ++ky) {
      for (std::int64_t r = 0; r < rows_; ++r) rows[ky * rows_ + r] += rows[(y_.taps + ky % y_.step) * rows_ + r];
    }
    std::int64_t* sums = totals_.data() + column_sums_at();
    const std::int64_t n = p_.n();
    for (std::size_t y_class = 0; y_class < y_classes_.taps.size(); ++y_class) {
      std::int64_t* const common = sums + common_ * n;
      for (std::size_t x_class = 0; x_class < x_classes_.taps.size(); ++x_class, sums += n) {
        for (std::int64_t j = 0; sums != common && j < n; ++j) common[j] -= sums[j];
      }
    }
  }

  /// gamma of a tap: its column sums and its valid positions are those of the classes that contain it.
  void fill_gamma(std::int64_t ky, std::int64_t kx, double za, std::vector<double>& gamma) const {
    const auto contains = [](const auto& taps, std::int64_t tap) { return tap >= taps.first && tap < taps.second; };
    const auto positions = [&](const ConvClasses& classes, std::int64_t tap) {
      return std::count_if(classes.of_position.begin(), classes.of_position.end(),
                           [&](std::int32_t c) { return contains(classes.taps[static_cast<std::size_t>(c)], tap); });
    };
    const auto valid = static_cast<double>(geometry().images * positions(y_classes_, ky) * positions(x_classes_, kx));
    for (std::int64_t j = 0; j < p_.n(); ++j) {
      const std::int64_t* sums = totals_.data() + column_sums_at() + j;
      std::int64_t sum = 0;
      for (const auto& y_taps : y_classes_.taps) {
        for (const auto& x_taps : x_classes_.taps) {
          if (contains(y_taps, ky) && contains(x_taps, kx)) sum += *sums;
          sums += p_.n();
        }
      }
      const double sb = column_grid(j).scale, zb = column_grid(j).stored_zero();
      gamma[static_cast<std::size_t>(j)] = (za * sb) * static_cast<double>(sum) + (za * zb) * valid;
    }
  }

  const Problem& p_;
  const Int8Micro& micro_;
  ConvAxis y_, x_;
  ConvClasses y_classes_, x_classes_;
  std::int32_t common_;                 ///< the class of most positions of a line
  std::vector<std::int64_t> uncommon_;  ///< positions of other classes
  std::int64_t rows_, rows4_, n16_, groups_;
  std::int64_t lines_, images_ = 1;  ///< of a chunk
  std::int64_t residue_lines_;
  std::vector<std::int64_t> totals_;
};

}  // namespace

bool conv_grad_applies(const Problem& p) {
  const CodeMatrix& a = p.a.codes();
  return a.patches && a.patches_transposed && a.patches->divide == 1 && (a.patches->out_width + 3) / 4 <= kMaxGroups;
}

std::uint64_t conv_grad(const Problem& p, const Int8Micro& micro) {
  WeightGradient product(p, micro);
#pragma omp parallel if (product.chunks() > 1 && p.m() * p.n() * p.k() > (1 << 15))
  {
    WeightGradient::Scratch scratch(product);
#pragma omp for schedule(dynamic) nowait
    for (std::int64_t chunk = 0; chunk < product.chunks(); ++chunk) product.add(chunk, scratch);
    product.flush(scratch);
  }
  return product.finish();
}

}  // namespace ebb::kernels
