#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>

#include "core/checked.h"
#include "quant/kernels/problem.h"

// The definition of products of block formats, one output at a time, in fixed-point arithmetic that
// holds every float64 and shares no code with the other kernels.
namespace ebb::kernels {
namespace {

/// A sum of float64 numbers, exact.
class ExactSum {
 public:
  void add(double x) {
    if (x == 0.0) return;
    int exponent = 0;
    const auto n = static_cast<std::int64_t>(std::frexp(x, &exponent) * 0x1p53);
    const int place = exponent - 53 + kLowest;
    const auto limb = static_cast<std::size_t>(place / 32);
    // |n| < 2^53 begins within a limb, so that it is in three of them.
    const std::int64_t sign = n < 0 ? -1 : 1;
    auto rest = static_cast<uint128>(std::abs(n)) << (place % 32);
    for (std::size_t i = limb; rest != 0; ++i, rest >>= 32)
      limbs_[i] += sign * static_cast<std::int64_t>(rest & 0xffffffffu);
  }
  /// x times all factors.
  void add_product(double x, std::span<const double> factors) {
    if (factors.empty()) return add(x);
    const double high = x * factors[0], low = std::fma(x, factors[0], -high);
    add_product(high, factors.subspan(1));
    if (low != 0.0) add_product(low, factors.subspan(1));
  }
  /// To nearest, ties to even.
  [[nodiscard]] float rounded() const {
    std::array<std::int64_t, kLimbs> digits = limbs_;
    bool negative = false;
    if (!carry(digits)) {
      negative = true;
      for (std::int64_t& digit : digits) digit = -digit;
      carry(digits);
    }
    std::size_t top = kLimbs - 1;
    while (top > 1 && digits[top] == 0) --top;
    // The highest 33 to 64 bits; what lies below makes the last one odd.
    auto high =
        static_cast<std::uint64_t>(digits[top]) << 32 | static_cast<std::uint64_t>(digits[top - 1]);
    bool below = std::any_of(digits.begin(), digits.begin() + static_cast<std::ptrdiff_t>(top) - 1,
                             [](std::int64_t digit) { return digit != 0; });
    int exponent = 32 * static_cast<int>(top - 1) - kLowest;
    for (; high >> 53 != 0; high >>= 1, ++exponent) below = below || (high & 1) != 0;
    const double odd = std::ldexp(static_cast<double>(high | (below ? 1u : 0u)), exponent);
    return static_cast<float>(negative ? -odd : odd);
  }

 private:
  static constexpr int kLowest = 1152;  ///< bits below the point, more than float64 has
  static constexpr std::size_t kLimbs = 72;

  /// Makes every digit one of 0 .. 2^32 - 1; false if the sum is negative.
  static bool carry(std::array<std::int64_t, kLimbs>& digits) {
    std::int64_t over = 0;
    for (std::int64_t& digit : digits) {
      const std::int64_t sum = digit + over;
      digit = sum & 0xffffffff;
      over = sum >> 32;
    }
    return over >= 0;
  }

  std::array<std::int64_t, kLimbs> limbs_{};
};

/// One side's block boundaries: element k of the contracted axis is the last before one.
bool ends_block(std::int64_t first, std::int64_t block, std::int64_t k) {
  return (first + k + 1) % block == 0;
}

}  // namespace

std::uint64_t reference_blocks(const Problem& p) {
  const CodeMatrix &a = p.a.codes(), &b = p.b.codes();
  const BlockScales &of_a = p.a.block_scales(), &of_b = p.b.block_scales();
  const BlockElement left(p.a.format()), right(p.b.format());
  const double all = static_cast<double>(of_a.tensor) * static_cast<double>(of_b.tensor);
  const bool exact = p.accumulator.kind == Accumulator::Kind::exact;
  for (std::int64_t i = 0; i < p.m(); ++i) {
    for (std::int64_t j = 0; j < p.n(); ++j) {
      float acc = 0.0f;
      ExactSum sum;
      for (std::int64_t k = 0; k < p.k(); ++k) {
        const double x = left.number(a.code_at(a.offset(i, k))),
                     y = right.number(b.code_at(b.offset(k, j)));
        const std::array<double, 5> factors{
            y, static_cast<double>(of_a.at(i, k)), static_cast<double>(of_b.at(k, j)),
            static_cast<double>(of_a.tensor), static_cast<double>(of_b.tensor)};
        sum.add_product(x, std::span(factors).first(exact ? 5 : 3));
        const bool ends = k + 1 == p.k() || ends_block(of_a.first_col, of_a.extents.cols, k) ||
                          ends_block(of_b.first_row, of_b.extents.rows, k);
        if (exact || !ends) continue;
        if (std::isfinite(acc)) {
          sum.add(static_cast<double>(acc));
          acc = sum.rounded();
        }
        sum = {};
      }
      p.c(i, j) = exact ? sum.rounded() : static_cast<float>(static_cast<double>(acc) * all);
    }
  }
  return 0;
}

}  // namespace ebb::kernels
