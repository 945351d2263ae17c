#include <algorithm>
#include <cmath>

#include "core/aligned.h"
#include "core/kernels/select.h"
#include "quant/kernels/registry.h"
#include "quant/kernels/sums/numbers.h"
#include "quant/kernels/sums/slice_tile.h"
#include "quant/kernels/sums/wide_sum.h"

// Exact sums of numbers that are no small integers. A number is a whole number of its format's
// units, cut into slices of a few bits: x = sum of slice s times 2^(bits s). Products of slices are
// summed in float64, those of one place s + t together and only as many as it holds exactly; sums
// of places meet in a WideSum. Numbers of one slice whose sum float64 holds need none of that.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kDepth = 256;  ///< of a panel of b that stays in the first cache level
constexpr std::int64_t kBlock = 96;   ///< rows of a that a thread takes at the most
/// Slices of so many bits leave 2^53 room for a thousand products; more than so many slices are
/// slower than sums of the products themselves.
constexpr int kMostBits = 20, kMostSlices = 8;

/// How the two sides of a product are cut.
struct Slices {
  Span a_span, b_span;
  int bits = 0, a = 0, b = 0;
  std::int64_t run = 0;  ///< terms of a sum in float64

  explicit Slices(const Problem& p) : a_span(span_of(p.a.format())), b_span(span_of(p.b.format())) {
    const int a_bits = width(a_span), b_bits = width(b_span), most = std::max(a_bits, b_bits);
    const int count = (most + kMostBits - 1) / kMostBits;
    bits = (most + count - 1) / count;
    a = (a_bits + bits - 1) / bits;
    b = (b_bits + bits - 1) / bits;
    const auto largest = [&](const Span& span) {
      return std::min(span.max / span.unit, std::ldexp(1.0, bits) - 1);
    };
    run = static_cast<std::int64_t>(0x1p53 / (largest(a_span) * largest(b_span))) / std::min(a, b);
  }
  /// Bits of the largest number in units.
  static int width(const Span& span) { return std::ilogb(span.max / span.unit) + 1; }
  [[nodiscard]] int places() const { return a + b - 1; }
};

/// Writes slice s of x, a whole number, to to[s * stride].
void cut(double x, int slices, int bits, double* to, std::int64_t stride) {
  for (int s = slices - 1; s > 0; --s) {
    const double place = std::ldexp(1.0, bits * s);
    to[s * stride] = std::trunc(x / place);
    x -= to[s * stride] * place;
  }
  to[0] = x;
}

/// Columns 16 panel .. of b: slice s of element (k, j) at to[(s * k_all + k) * 16 + j].
void pack_panel(const Problem& p, const Slices& slices, std::int64_t panel, double* to) {
  const CodeMatrix& b = p.b.codes();
  const std::int64_t k_all = p.k(), first = panel * kSlicePanel,
                     cols = std::min(kSlicePanel, p.n() - first);
  const double per_unit = 1 / slices.b_span.unit;
  const auto* const from = static_cast<const float*>(b.data) + first * b.col_stride;
  for (std::int64_t k = 0; k < k_all; ++k, to += kSlicePanel) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const auto x = static_cast<double>(from[k * b.row_stride + j * b.col_stride]);
      cut(x * per_unit, slices.b, slices.bits, to + j, k_all * kSlicePanel);
    }
  }
}

/// A block of rows of a in strips of `height`: slice s of element (i, k) at
/// to[((s * strips + i / height) * k_all + k) * height + i % height].
void pack_rows(const Problem& p, const Slices& slices, std::int64_t first, std::int64_t rows,
               std::int64_t height, std::int64_t strips, double* to) {
  const std::int64_t k_all = p.k();
  const std::vector<double> numbers = left_rows<double>(p, first, rows, slices.a_span.unit);
  for (std::int64_t i = 0; i < rows; ++i) {
    double* const strip = to + i / height * k_all * height + i % height;
    for (std::int64_t k = 0; k < k_all; ++k)
      cut(numbers[static_cast<std::size_t>(i * k_all + k)], slices.a, slices.bits,
          strip + k * height, strips * k_all * height);
  }
}

/// Multiplies a packed block of rows by a packed panel.
class BlockProduct {
 public:
  BlockProduct(const Problem& p, const Slices& slices, const SliceKernels& kernels,
               std::int64_t strips)
      : p_(p),
        slices_(slices),
        kernels_(kernels),
        strips_(strips),
        plane_(strips * kernels.rows * kSlicePanel),
        sums_(static_cast<std::size_t>(slices.places() * plane_)),
        wide_(one_sum() ? 0 : static_cast<std::size_t>(plane_)) {}

  void operator()(const double* a, const double* b, std::int64_t first, std::int64_t rows,
                  std::int64_t col, std::int64_t cols) {
    std::ranges::fill(wide_, WideSum());
    for (std::int64_t k = 0; k < p_.k(); k += slices_.run) {
      std::ranges::fill(sums_, 0.0);
      add(a, b, k, std::min(p_.k(), k + slices_.run));
      if (!one_sum()) carry();
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        const auto at = static_cast<std::size_t>(i * kSlicePanel + j);
        const double units = slices_.a_span.unit * slices_.b_span.unit;
        p_.finish(first + i, col + j, one_sum() ? sums_[at] * units : wide_[at].rounded_to_odd());
      }
    }
  }

 private:
  [[nodiscard]] bool one_sum() const { return slices_.places() == 1 && p_.k() <= slices_.run; }

  /// The products of k = begin .. end, by their places.
  void add(const double* a, const double* b, std::int64_t begin, std::int64_t end) {
    const std::int64_t k_all = p_.k(), height = kernels_.rows;
    for (std::int64_t k = begin; k < end; k += kDepth) {
      const std::int64_t depth = std::min(kDepth, end - k);
      for (int t = 0; t < slices_.b; ++t) {
        for (int s = 0; s < slices_.a; ++s) {
          double* c = sums_.data() + (s + t) * plane_;
          for (std::int64_t strip = 0; strip < strips_; ++strip, c += height * kSlicePanel)
            kernels_.multiply(a + ((s * strips_ + strip) * k_all + k) * height,
                              b + (t * k_all + k) * kSlicePanel, depth, c);
        }
      }
    }
  }
  void carry() {
    for (int place = 0; place < slices_.places(); ++place) {
      const double unit =
          std::ldexp(slices_.a_span.unit * slices_.b_span.unit, place * slices_.bits);
      const double* const of_place = sums_.data() + place * plane_;
      for (std::size_t i = 0; i < wide_.size(); ++i) wide_[i].add(of_place[i] * unit);
    }
  }

  const Problem& p_;
  const Slices& slices_;
  const SliceKernels& kernels_;
  std::int64_t strips_, plane_;
  Aligned<double> sums_;       ///< place by place, strips of rows of 16
  std::vector<WideSum> wide_;  ///< likewise
};

}  // namespace

bool slices_apply(const Problem& p) {
  if (!p.both_float() || p.accumulator.kind != Accumulator::Kind::exact || p.k() == 0) return false;
  for (const Operand* x : {&p.a, &p.b}) {
    const Span span = span_of(x->format());
    if (Slices::width(span) > kMostBits * kMostSlices || !all_finite(x->codes())) return false;
  }
  return true;
}

std::uint64_t multiply_slices(const Problem& p, Simd simd) {
  const SliceKernels& kernels = select<SliceKernels>(simd);
  const Slices slices(p);
  const std::int64_t m = p.m(), n = p.n(), k = p.k(), height = kernels.rows,
                     panels = (n + kSlicePanel - 1) / kSlicePanel,
                     panel_size = slices.b * k * kSlicePanel;
  // A block of rows of a lies in the second cache level, where that leaves enough rows.
  constexpr std::int64_t kBlockNumbers = 1 << 17;
  const std::int64_t strips =
      std::clamp(kBlockNumbers / (k * slices.a * height), std::int64_t{1}, kBlock / height);
  const std::int64_t block = strips * height;
  Aligned<double> right(static_cast<std::size_t>(panels * panel_size));
#pragma omp parallel if (m * n * k > (1 << 15))
  {
    Aligned<double> left(static_cast<std::size_t>(slices.a * block * k));
    BlockProduct multiply(p, slices, kernels, strips);
#pragma omp for schedule(static)
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      double* const to = right.data() + panel * panel_size;
      std::fill_n(to, panel_size, 0.0);
      pack_panel(p, slices, panel, to);
    }
#pragma omp for schedule(dynamic)
    for (std::int64_t first = 0; first < m; first += block) {
      const std::int64_t rows = std::min(block, m - first);
      if (rows < block) std::ranges::fill(left, 0.0);
      pack_rows(p, slices, first, rows, height, strips, left.data());
      for (std::int64_t panel = 0; panel < panels; ++panel)
        multiply(left.data(), right.data() + panel * panel_size, first, rows, panel * kSlicePanel,
                 std::min(kSlicePanel, n - panel * kSlicePanel));
    }
  }
  return 0;
}

}  // namespace ebb::kernels
