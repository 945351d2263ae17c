#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/kernels/select.h"
#include "quant/kernels/dense/packing.h"
#include "quant/kernels/epilogue/epilogue.h"
#include "quant/kernels/registry.h"
#include "quant/kernels/saturate/saturate.h"

// Saturating accumulators, whose order of additions is part of the definition. Where a bound on the
// partial sums excludes every event the sum is the exact one, and the product goes to the exact
// kernels; otherwise registers are emulated, many outputs side by side. As with floats, k may be
// cut into chunks but is never shared among threads.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kChunk = 1024;
constexpr std::int64_t kRowBlock = 64;

/// Largest magnitude and largest sum of magnitudes of the columns of a dense matrix.
struct Magnitudes {
  std::int64_t largest = 0, sum = 0;

  template <class Code>
  Magnitudes(const CodeMatrix& x, const Code* codes) {
    std::vector<std::int64_t> sums(static_cast<std::size_t>(x.cols), 0);
    std::int32_t most = 0;
    const auto add = [&](std::int64_t i, std::int64_t j, std::int64_t& to) {
      const std::int32_t magnitude =
          std::abs(std::int32_t{codes[i * x.row_stride + j * x.col_stride]});
      most = std::max(most, magnitude);
      to += magnitude;
    };
    if (x.row_stride == 1) {
      for (std::int64_t j = 0; j < x.cols; ++j) {
        std::int64_t total = 0;
        for (std::int64_t i = 0; i < x.rows; ++i) add(i, j, total);
        sums[static_cast<std::size_t>(j)] = total;
      }
    } else {
      for (std::int64_t i = 0; i < x.rows; ++i) {
        for (std::int64_t j = 0; j < x.cols; ++j) add(i, j, sums[static_cast<std::size_t>(j)]);
      }
    }
    largest = most;
    for (const std::int64_t total : sums) sum = std::max(sum, total);
  }
  static Magnitudes of(const CodeMatrix& x) {
    return x.container == CodeMatrix::Container::int8
               ? Magnitudes(x, static_cast<const std::int8_t*>(x.data))
               : Magnitudes(x, static_cast<const std::int16_t*>(x.data));
  }
};

/// True if no partial sum of any output, in whatever order, can leave the register.
bool never_saturates(const Problem& p, std::int64_t high) {
  const std::int64_t a = Problem::largest(p.a), b = Problem::largest(p.b);
  if (p.k() <= high / (a * b)) return true;
  if (p.k() / 8 > high / std::min(a, b))
    return false;  // codes would have to be tiny: do not even look
  const Magnitudes right = Magnitudes::of(p.b.codes());
  if (right.sum <= high / a) return true;
  if (p.a.codes().patches) return false;
  const Magnitudes left = Magnitudes::of(p.a.codes().transposed());
  return left.largest * right.sum <= high || left.sum * right.largest <= high;
}

class Emulation {
 public:
  Emulation(const Problem& p, const SaturateKernels& micro, std::int64_t high)
      : p_(p),
        high_(static_cast<std::int32_t>(high)),
        panels_((p.n() + kSaturatePanel - 1) / kSaturatePanel),
        sums_(static_cast<std::size_t>(p.m() * panels_ * kSaturatePanel), 0),
        right_(static_cast<std::size_t>(std::min(kChunk, p.k()) * panels_ * kSaturatePanel)) {
    const std::int64_t largest = Problem::largest(p.a) * Problem::largest(p.b);
    hold_products_ = largest > high;
    step_ = high < (1 << 15) && largest < (1 << 15) ? micro.narrow : micro.wide;
  }

  std::uint64_t run() {
    const bool across = p_.a.codes().patches && p_.a.codes().patches_transposed;
    PackBuffers shared;
    CodeLines all{};
    std::uint64_t events = 0;
#pragma omp parallel reduction(+ : events) if (p_.m() * p_.n() * p_.k() > (1 << 13))
    {
      PackBuffers buffers;
      for (std::int64_t first = 0; first < p_.k(); first += kChunk) {
        const std::int64_t k = std::min(kChunk, p_.k() - first);
#pragma omp for schedule(static)
        for (std::int64_t panel = 0; panel < panels_; ++panel) pack(panel, first, k);
        if (across) {
#pragma omp single
          all = left_codes(p_.a.codes(), 0, p_.m(), first, k, shared);
        }
#pragma omp for schedule(dynamic)
        for (std::int64_t row = 0; row < p_.m(); row += kRowBlock) {
          const std::int64_t rows = std::min(kRowBlock, p_.m() - row);
          CodeLines left = all;
          if (across) {
            left.data += row * left.row;
          } else {
            left = left_codes(p_.a.codes(), row, rows, first, k, buffers);
          }
          events += block(left, row, rows, k);
        }
      }
    }
    return events;
  }

  void write() const {
    const Epilogue epilogue(p_);
    const std::int64_t ld = panels_ * kSaturatePanel;
#pragma omp parallel if (p_.m() * p_.n() > (1 << 13))
    {
      std::vector<double> scratch;
      std::vector<std::int64_t> row(static_cast<std::size_t>(p_.n()));
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < p_.m(); ++i) {
        std::copy_n(sums_.data() + i * ld, p_.n(), row.begin());
        epilogue.finish(i, 0, row, scratch);
      }
    }
  }

 private:
  void pack(std::int64_t panel, std::int64_t first, std::int64_t k) {
    const CodeMatrix& b = p_.b.codes();
    const std::int64_t col = panel * kSaturatePanel, cols = std::min(kSaturatePanel, p_.n() - col);
    std::int16_t* const to = right_.data() + panel * k * kSaturatePanel;
    for (std::int64_t s = 0; s < k; ++s) {
      std::int16_t* const row = to + s * kSaturatePanel;
      for (std::int64_t j = 0; j < cols; ++j)
        row[j] = static_cast<std::int16_t>(b.code_at(b.offset(first + s, col + j)));
      std::fill(row + cols, row + kSaturatePanel, std::int16_t{0});
    }
  }

  std::uint64_t block(const CodeLines& left, std::int64_t row, std::int64_t rows, std::int64_t k) {
    const std::int64_t ld = panels_ * kSaturatePanel;
    std::uint64_t events = 0;
    for (std::int64_t panel = 0; panel < panels_; ++panel) {
      for (std::int64_t i = 0; i < rows; i += kSaturateRows) {
        events += step_({.a = left.data + i * left.row,
                         .a_row = left.row,
                         .a_k = left.k,
                         .b = right_.data() + panel * k * kSaturatePanel,
                         .k = k,
                         .cols = std::min(kSaturatePanel, p_.n() - panel * kSaturatePanel),
                         .low = -high_ - 1,
                         .high = high_,
                         .hold_products = hold_products_,
                         .c = sums_.data() + (row + i) * ld + panel * kSaturatePanel,
                         .ldc = ld},
                        static_cast<int>(std::min<std::int64_t>(kSaturateRows, rows - i)));
      }
    }
    return events;
  }

  const Problem& p_;
  std::int32_t high_;
  std::int64_t panels_;
  std::vector<std::int32_t> sums_;  ///< [m, panels * kSaturatePanel]
  Aligned<std::int16_t> right_;     ///< a chunk of b
  bool hold_products_;
  std::uint64_t (*step_)(const SaturateRun&, int);
};

/// Registers of more than 31 bits, one output after the other.
std::uint64_t emulate_widest(const Problem& p) {
  const Epilogue epilogue(p);
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  std::uint64_t events = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : events)
  for (std::int64_t i = 0; i < p.m(); ++i) {
    std::vector<std::int64_t> sums(static_cast<std::size_t>(p.n()), 0);
    std::vector<double> scratch;
    for (std::int64_t k = 0; k < p.k(); ++k) {
      const std::int64_t x = a.code_at(a.offset(i, k));
      for (std::int64_t j = 0; j < p.n(); ++j) {
        std::int64_t& sum = sums[static_cast<std::size_t>(j)];
        sum = narrow_add(sum, x * b.code_at(b.offset(k, j)), p.accumulator, events);
      }
    }
    epilogue.finish(i, 0, sums, scratch);
  }
  return events;
}

}  // namespace

bool saturating_applies(const Problem& p) {
  return p.linear() && p.accumulator.kind == Accumulator::Kind::saturate && p.m() > 0 && p.n() > 0;
}

std::uint64_t multiply_saturating(const Problem& p, Simd simd) {
  const std::int64_t high = (std::int64_t{1} << (p.accumulator.bits - 1)) - 1;
  if (never_saturates(p, high)) {
    const Problem exact{p.a, p.b, Accumulator::exact(), p.out, p.transposed_out};
    return first_kernel(exact, simd).run(exact);
  }
  if (p.accumulator.bits > 31) return emulate_widest(p);
  Emulation emulation(p, select<SaturateKernels>(simd), high);
  const std::uint64_t events = emulation.run();
  emulation.write();
  return events;
}

}  // namespace ebb::kernels
