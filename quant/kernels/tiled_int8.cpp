#include <algorithm>
#include <cstring>
#include <vector>

#include "core/aligned.h"
#include "quant/kernels/conv_grad.h"
#include "quant/kernels/conv_int8.h"
#include "quant/kernels/gather.h"
#include "quant/kernels/int8.h"
#include "quant/kernels/tiled.h"

// Integer products of int8 codes in two shapes, beside convolutions (conv_int8.cpp). `by_rows` packs b once and lets threads take
// blocks of rows of a; `by_depth` cuts a long contraction (grad_weight) into chunks, packs both sides chunk by chunk, and adds the
// chunks' exact sums. Sums are integers, so the order in which threads finish cannot matter.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kChunk = 1024;  ///< k of a by_depth chunk

std::uint64_t by_rows(const Problem& p, const Int8Micro& micro) {
  const CodeMatrix& a = p.a.codes();
  const std::int64_t m = p.m(), n = p.n(), k = p.k(), groups = (k + 3) / 4, panels = (n + 15) / 16;
  const Corrections corrections(p, micro.biased_b);
  const Panels right = pack_panels(p.b.codes(), k, micro.biased_b ? 0x80 : 0);
  // a is read in place where its k are neighbours; a transposed a is interleaved once; patches are gathered block by block.
  Aligned<std::uint8_t> interleaved;
  Int8Left whole{int8_codes(a), a.row_stride, 4, 0};
  if (!a.patches && a.col_stride != 1) {
    const std::int64_t padded = round_up(m, 16);
    interleaved.resize(static_cast<std::size_t>(groups * padded * 4));
    interleave_by_four(int8_codes(a), a.col_stride, k, m, 0, interleaved.data(), 4 * padded);
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
      gather_patch_rows(*a.patches, int8_codes(a), first, rows, gathered.data(), k);
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
    const std::int8_t* rows = int8_codes(x) + first * x.row_stride;
    std::int64_t ld = x.row_stride;
    if (x.patches) {
      gathered_.resize(static_cast<std::size_t>(kChunk * width + kSlack));
      gather_patch_rows(*x.patches, int8_codes(x), first, k, gathered_.data(), width);
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
  if (conv_applies(p)) return conv_int8(p, micro);
  if (conv_grad_applies(p)) return conv_grad(p, micro);
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
