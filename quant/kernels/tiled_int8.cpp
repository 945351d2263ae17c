#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "core/aligned.h"
#include "quant/kernels/corrections.h"
#include "quant/kernels/gather.h"
#include "quant/kernels/micro.h"
#include "quant/kernels/tiled.h"

// Integer products of int8 codes in three shapes. `by_rows` packs b once and lets threads take blocks of rows of a; `by_depth` cuts
// a long contraction (grad_weight) into chunks, packs both sides chunk by chunk, and adds the chunks' exact sums. `by_padded_lines`
// runs convolutions of stride 1 over a padded copy of the image instead of gathered patches. Sums are integers, so the order in
// which threads finish cannot matter.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kMaxGroups = 8192;          ///< 32,768 products of at most 255 x 128 fit an int32
constexpr std::int64_t kRowBlockBytes = 48 << 10;  ///< of a, so that a block stays in the first two cache levels
constexpr std::int64_t kChunk = 1024;              ///< k of a by_depth chunk
constexpr std::int64_t kSlack = 64;

std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }

const std::int8_t* codes(const CodeMatrix& x) { return static_cast<const std::int8_t*>(x.data); }

/// b as panels of 16 columns, its k cut into segments of `run` rows that each begin a new group: panel p, segment s, group g is 64
/// bytes at ((p * segments + s) * groups + g) * 64, where groups = ceil(run / 4).
struct Panels {
  Aligned<std::uint8_t> bytes;
  std::int64_t groups, segments;

  [[nodiscard]] std::int64_t stride() const { return groups * segments * 64; }
  /// From panel `first` on, starting with group `group` of its only segment.
  [[nodiscard]] Int8Right from(std::int64_t first, std::int64_t group, std::int64_t count) const {
    return {bytes.data() + first * stride() + 64 * group, stride(), 64, count, 1};
  }
  [[nodiscard]] Int8Right from(std::int64_t first) const {
    return {bytes.data() + first * stride(), stride(), 64, groups, segments};
  }
};

Panels pack_panels(const CodeMatrix& b, std::int64_t run, std::uint8_t flip) {
  const std::int64_t panels = (b.cols + 15) / 16;
  Panels packed{{}, (run + 3) / 4, b.rows / run};
  packed.bytes.resize(static_cast<std::size_t>(panels * packed.stride()));
  const bool k_contiguous = b.row_stride == 1 && b.col_stride != 1;
#pragma omp parallel for collapse(2) schedule(static) if (b.rows * b.cols > (1 << 16))
  for (std::int64_t p = 0; p < panels; ++p) {
    for (std::int64_t s = 0; s < packed.segments; ++s) {
      std::uint8_t* const panel = packed.bytes.data() + (p * packed.segments + s) * packed.groups * 64;
      if (!k_contiguous) {
        interleave_by_four(codes(b) + 16 * p + s * run * b.row_stride, b.row_stride, run, 16, flip, panel, 64);
        continue;
      }
      for (std::int64_t j = 0; j < 16; ++j) {
        const std::int8_t* const column = codes(b) + std::min(16 * p + j, b.cols - 1) * b.col_stride + s * run;
        for (std::int64_t k = 0; k < 4 * packed.groups; ++k) {
          const auto code = static_cast<std::uint8_t>(k < run ? column[k] ^ static_cast<std::int8_t>(flip) : 0);
          panel[k / 4 * 64 + 4 * j + k % 4] = code;
        }
      }
    }
  }
  return packed;
}

/// Scales the sums of columns col .. col + cols of one row and writes them to c.
void finish_row(const Problem& p, const Int8Micro& micro, const Corrections& corrections, std::int64_t row, std::int64_t col,
                std::int64_t cols, const std::int32_t* sums, std::vector<double>& scratch) {
  const Corrections::Row r = corrections.row(row, scratch);
  const std::int64_t a_sum = corrections.row_sum(row);
  const auto bias = static_cast<std::int32_t>(micro.biased_b ? 128 * a_sum : 0);
  float line[kMaxPanels * kPanel];
  float* const out = p.transposed_out ? line : &p.c(row, col);
  micro.scale(sums, cols, bias, r.alpha + col, r.beta + col, static_cast<double>(a_sum), r.gamma + col, out);
  if (p.transposed_out) {
    for (std::int64_t j = 0; j < cols; ++j) p.c(row, col + j) = line[j];
  }
}

/// As finish_row, for exact sums that may need a narrow accumulator's wrap-around.
std::uint64_t finish_wide(const Problem& p, const Corrections& corrections, std::int64_t i, std::int64_t col,
                          std::span<std::int64_t> sums, std::vector<double>& scratch) {
  const std::uint64_t events = wrap_sums(p.accumulator, sums);
  corrections.write(p, i, col, sums, scratch);
  return events;
}

std::uint64_t by_rows(const Problem& p, const Int8Micro& micro) {
  const CodeMatrix& a = p.a.codes();
  const std::int64_t m = p.m(), n = p.n(), k = p.k(), groups = (k + 3) / 4, panels = (n + 15) / 16;
  const Corrections corrections(p, micro.biased_b);
  const Panels right = pack_panels(p.b.codes(), k, micro.biased_b ? 0x80 : 0);
  // a is read in place where its k are neighbours; a transposed a is interleaved once; patches are gathered block by block.
  Aligned<std::uint8_t> interleaved;
  Int8Left whole{codes(a), a.row_stride, 4, 0};
  if (!a.patches && a.col_stride != 1) {
    const std::int64_t padded = round_up(m, 16);
    interleaved.resize(static_cast<std::size_t>(groups * padded * 4));
    interleave_by_four(codes(a), a.col_stride, k, m, 0, interleaved.data(), 4 * padded);
    whole = {reinterpret_cast<const std::int8_t*>(interleaved.data()), 4, 4 * padded, 0};
  }
  const std::int64_t unit = micro.rows[std::min<std::int64_t>(panels, kMaxPanels)];
  const std::int64_t block = round_up(std::clamp<std::int64_t>(kRowBlockBytes / std::max<std::int64_t>(k, 1), unit, 192), unit);
  const bool plain = groups <= kMaxGroups && p.accumulator.is_exact();
  std::uint64_t events = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : events) if (m * n * k > (1 << 15))
  for (std::int64_t first = 0; first < m; first += block) {
    const std::int64_t rows = std::min(block, m - first);
    Int8Left left{whole.data + first * whole.row, whole.row, whole.group, 0};
    Aligned<std::int8_t> gathered;
    if (a.patches) {
      gathered.resize(static_cast<std::size_t>(rows * k + kSlack));
      std::memset(gathered.data() + rows * k, 0, kSlack);
      gather_patch_rows(*a.patches, codes(a), first, rows, gathered.data(), k);
      left = {gathered.data(), k, 4, 0};
    }
    std::vector<double> scratch;
    std::int32_t tile[kMaxRows * kMaxPanels * kPanel];
    std::int64_t wide[kMaxRows * kMaxPanels * kPanel];
    for (std::int64_t panel = 0; panel < panels; panel += kMaxPanels) {
      const int count = static_cast<int>(std::min<std::int64_t>(kMaxPanels, panels - panel));
      const std::int64_t ld = count * kPanel, col = panel * kPanel, cols = std::min(ld, n - col);
      for (std::int64_t i = 0; i < rows; i += micro.rows[count]) {
        const int height = static_cast<int>(std::min<std::int64_t>(micro.rows[count], rows - i));
        const Int8Left rows_at{left.data + i * left.row, left.row, left.group, 0};
        if (plain) {
          micro.multiply(rows_at, right.from(panel), height, count, tile, ld);
          for (std::int64_t r = 0; r < height; ++r)
            finish_row(p, micro, corrections, first + i + r, col, cols, tile + r * ld, scratch);
          continue;
        }
        std::fill_n(wide, height * ld, 0);
        for (std::int64_t g = 0; g < groups; g += kMaxGroups) {
          const Int8Left at{rows_at.data + g * left.group, left.row, left.group, 0};
          micro.multiply(at, right.from(panel, g, std::min(kMaxGroups, groups - g)), height, count, tile, ld);
          for (std::int64_t s = 0; s < height * ld; ++s) wide[s] += tile[s];
        }
        for (std::int64_t r = 0; r < height; ++r) {
          const std::int64_t bias = micro.biased_b ? 128 * corrections.row_sum(first + i + r) : 0;
          for (std::int64_t j = 0; j < cols; ++j) wide[r * ld + j] -= bias;
          events += finish_wide(p, corrections, first + i + r, col, {wide + r * ld, static_cast<std::size_t>(cols)}, scratch);
        }
      }
    }
  }
  return events;
}

/// Convolutions of stride 1. A block of lines is copied once into a zero-padded image; there the patches of neighbouring positions
/// lie one pixel apart, so the positions of all lines form one run of rows with a constant stride and nothing is gathered. The
/// taps_x - 1 positions between two lines are computed and left out.
std::uint64_t by_padded_lines(const Problem& p, const Int8Micro& micro) {
  const PatchGeometry& g = *p.a.codes().patches;
  const std::int64_t n = p.n(), panels = (n + 15) / 16;
  const std::int64_t pixel = g.channels, wide = g.out_width + g.taps_x - 1, line = wide * pixel;
  const Corrections corrections(p, micro.biased_b);
  const Panels right = pack_panels(p.b.codes(), g.taps_x * pixel, micro.biased_b ? 0x80 : 0);
  const std::int64_t lines = std::clamp<std::int64_t>(kRowBlockBytes / line - (g.taps_y - 1), 1, g.out_height);
  const std::int64_t blocks = (g.out_height + lines - 1) / lines;
#pragma omp parallel for schedule(dynamic) if (p.m() * n * p.k() > (1 << 15))
  for (std::int64_t block = 0; block < g.images * blocks; ++block) {
    const std::int64_t image = block / blocks, top = block % blocks * lines, height = std::min(lines, g.out_height - top);
    Aligned<std::int8_t> padded(static_cast<std::size_t>((height + g.taps_y - 1) * line + 4 * kSlack));
    std::memset(padded.data(), 0, padded.size());
    const std::int64_t left = std::max<std::int64_t>(0, g.pad_left), skip = std::max<std::int64_t>(0, -g.pad_left);
    const std::int64_t run = std::min(g.width - skip, wide - left);
    for (std::int64_t y = 0; y < height + g.taps_y - 1; ++y) {
      const std::int64_t sy = top + y - g.pad_top;
      if (sy < 0 || sy >= g.height || run <= 0) continue;
      const std::int8_t* const from = codes(p.a.codes()) + ((image * g.height + sy) * g.width + skip) * g.pixel_stride;
      std::int8_t* const to = padded.data() + y * line + left * pixel;
      if (g.pixel_stride == pixel) {
        std::memcpy(to, from, static_cast<std::size_t>(run * pixel));
      } else {
        for (std::int64_t x = 0; x < run; ++x)
          std::memcpy(to + x * pixel, from + x * g.pixel_stride, static_cast<std::size_t>(pixel));
      }
    }
    std::vector<double> scratch;
    std::int32_t tile[kMaxRows * kMaxPanels * kPanel];
    const std::int64_t rows = (height - 1) * wide + g.out_width;
    for (std::int64_t panel = 0; panel < panels; panel += kMaxPanels) {
      const int count = static_cast<int>(std::min<std::int64_t>(kMaxPanels, panels - panel));
      const std::int64_t ld = count * kPanel, col = panel * kPanel, cols = std::min(ld, n - col);
      for (std::int64_t i = 0; i < rows; i += micro.rows[count]) {
        const int tall = static_cast<int>(std::min<std::int64_t>(micro.rows[count], rows - i));
        micro.multiply({padded.data() + i * pixel, pixel, 4, line}, right.from(panel), tall, count, tile, ld);
        std::int64_t x = i % wide, row = (image * g.out_height + top + i / wide) * g.out_width + std::min(x, g.out_width);
        for (std::int64_t r = 0; r < tall; ++r) {
          if (x < g.out_width) finish_row(p, micro, corrections, row++, col, cols, tile + r * ld, scratch);
          x = x + 1 == wide ? 0 : x + 1;
        }
      }
    }
  }
  return 0;
}

/// One thread's share of a by_depth product.
class DepthWorker {
 public:
  DepthWorker(const Problem& p, const Int8Micro& micro)
      : p_(p),
        micro_(micro),
        m16_(round_up(p.m(), 16)),
        n16_(round_up(p.n(), 16)),
        sums_(static_cast<std::size_t>(p.m() * n16_), 0),
        left_(static_cast<std::size_t>(kChunk * m16_)),
        right_(static_cast<std::size_t>(kChunk * n16_)) {}

  void add_chunk(std::int64_t first) {
    const std::int64_t k = std::min(kChunk, p_.k() - first), groups = (k + 3) / 4;
    pack(p_.a.codes().transposed(), first, k, m16_, 0, left_);
    pack(p_.b.codes(), first, k, n16_, micro_.biased_b ? 0x80 : 0, right_);
    const auto* const a = reinterpret_cast<const std::int8_t*>(left_.data());
    std::int32_t tile[kMaxRows * kMaxPanels * kPanel];
    const std::int64_t panels = n16_ / kPanel;
    for (std::int64_t panel = 0; panel < panels; panel += kMaxPanels) {
      const int count = static_cast<int>(std::min<std::int64_t>(kMaxPanels, panels - panel));
      for (std::int64_t i = 0; i < p_.m(); i += micro_.rows[count]) {
        const int height = static_cast<int>(std::min<std::int64_t>(micro_.rows[count], p_.m() - i));
        micro_.multiply({a + 4 * i, 4, 4 * m16_, 0}, {right_.data() + 64 * panel, 64, 4 * n16_, groups, 1}, height, count, tile,
                        count * kPanel);
        for (std::int64_t r = 0; r < height; ++r) {
          std::int64_t* const to = sums_.data() + (i + r) * n16_ + panel * kPanel;
          for (std::int64_t j = 0; j < count * kPanel; ++j) to[j] += tile[r * count * kPanel + j];
        }
      }
    }
  }

  [[nodiscard]] const std::vector<std::int64_t>& sums() const { return sums_; }

 private:
  /// Rows first .. first + k of x, a matrix whose rows run over the contraction, interleaved by fours.
  void pack(const CodeMatrix& x, std::int64_t first, std::int64_t k, std::int64_t width, std::uint8_t flip,
            Aligned<std::uint8_t>& out) {
    const std::int8_t* rows = codes(x) + first * x.row_stride;
    std::int64_t ld = x.row_stride;
    if (x.patches) {
      gathered_.resize(static_cast<std::size_t>(kChunk * width + kSlack));
      gather_patch_rows(*x.patches, codes(x), first, k, gathered_.data(), width);
      rows = gathered_.data();
      ld = width;
    }
    interleave_by_four(rows, ld, k, x.cols, flip, out.data(), 4 * width);
  }

  const Problem& p_;
  const Int8Micro& micro_;
  std::int64_t m16_, n16_;
  std::vector<std::int64_t> sums_;
  Aligned<std::uint8_t> left_, right_;
  Aligned<std::int8_t> gathered_;
};

std::uint64_t by_depth(const Problem& p, const Int8Micro& micro) {
  const Corrections corrections(p, micro.biased_b);
  const std::int64_t n16 = round_up(p.n(), 16);
  std::vector<std::int64_t> sums(static_cast<std::size_t>(p.m() * n16), 0);
#pragma omp parallel if (p.k() > kChunk)
  {
    DepthWorker worker(p, micro);
#pragma omp for schedule(dynamic) nowait
    for (std::int64_t first = 0; first < p.k(); first += kChunk) worker.add_chunk(first);
#pragma omp critical
    for (std::size_t s = 0; s < sums.size(); ++s) sums[s] += worker.sums()[s];
  }
  std::uint64_t events = 0;
  std::vector<double> scratch;
  for (std::int64_t i = 0; i < p.m(); ++i) {
    std::int64_t* const row = sums.data() + i * n16;
    const std::int64_t bias = micro.biased_b ? 128 * corrections.row_sum(i) : 0;
    for (std::int64_t j = 0; j < p.n(); ++j) row[j] -= bias;
    events += finish_wide(p, corrections, i, 0, {row, static_cast<std::size_t>(p.n())}, scratch);
  }
  return events;
}

std::uint64_t run(const Problem& p, const Int8Micro& micro) {
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  const bool a_by_k = a.patches ? a.patches_transposed : a.row_stride == 1;  // neighbours of a differ in the row, not in k
  const bool deep = p.k() >= 4 * kChunk && p.k() >= 4 * std::max(p.m(), p.n());
  const bool must = a.patches && a.patches_transposed;
  if (a.patches && !must && a.patches->step == 1 && a.patches->divide == 1 && p.k() <= 2 * kMaxGroups && p.accumulator.is_exact()) {
    return by_padded_lines(p, micro);
  }
  return must || (deep && a_by_k && b.col_stride == 1) ? by_depth(p, micro) : by_rows(p, micro);
}

}  // namespace

bool int8_applies(const Problem& p) {
  const auto has_unit_stride = [](const CodeMatrix& x) { return x.patches || x.row_stride == 1 || x.col_stride == 1; };
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  const bool rows_of_b = !(a.patches && a.patches_transposed) || b.col_stride == 1;
  return p.integer() && p.int8() && p.accumulator.kind != Accumulator::Kind::saturate && has_unit_stride(a) && has_unit_stride(b) &&
         rows_of_b && p.m() > 0 && p.n() > 0 && p.k() > 0;
}

#if defined(__x86_64__)
std::uint64_t int8_on_avx512(const Problem& p) { return run(p, int8_avx512()); }
std::uint64_t int8_on_avx2(const Problem& p) { return run(p, int8_avx2()); }
#endif

}  // namespace ebb::kernels
