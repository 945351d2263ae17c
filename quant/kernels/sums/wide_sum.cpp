#include "quant/kernels/sums/wide_sum.h"

#include <bit>
#include <cmath>

#include "core/text.h"

namespace ebb::kernels {

void WideSum::add(double x) {
  if (!std::isfinite(x)) {
    special_ += x;
    return;
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const int field = static_cast<int>(bits >> 52 & 0x7ff);
  std::uint64_t magnitude = bits & ((std::uint64_t{1} << 52) - 1);
  if (field == 0) return;  // zero: what is not normal in float64 is no multiple of 2^-384
  magnitude |= std::uint64_t{1} << 52;
  int place = field - 1075 - kLowest;  // of the lowest bit
  if (place < 0) {                     // its bits below are zeros
    magnitude >>= -place;
    place = 0;
  }
  const uint128 placed = static_cast<uint128>(magnitude) << (place % 32);
  for (int i = 0; i < 3; ++i) {
    const auto digit = static_cast<std::int64_t>(static_cast<std::uint32_t>(placed >> (32 * i)));
    const auto at = static_cast<std::size_t>(place / 32 + i);
    if (at < digits_.size()) digits_[at] += x < 0 ? -digit : digit;
  }
}

double WideSum::rounded_to_odd() const {
  if (special_ != 0) return special_;
  std::array<std::int64_t, kDigits> digits = digits_;
  const auto carry = [&] {
    std::int64_t over = 0;
    for (std::int64_t& digit : digits) {
      digit += over;
      over = digit >> 32;
      digit -= over * (std::int64_t{1} << 32);
    }
    return over;
  };
  const bool negative = carry() < 0;
  if (negative) {  // of which the digits are those of its complement
    for (std::int64_t& digit : digits) digit = -digit;
    carry();
  }
  int top = kDigits - 1;
  while (top > 0 && digits[static_cast<std::size_t>(top)] == 0) --top;
  uint128 magnitude = 0;
  bool rest = false;
  for (int i = top; i >= 0; --i) {
    const auto digit = static_cast<std::uint64_t>(digits[static_cast<std::size_t>(i)]);
    if (i > top - 3) {
      magnitude = magnitude << 32 | digit;
    } else {
      rest = rest || digit != 0;
    }
  }
  int exponent = kLowest + 32 * std::max(0, top - 2);
  while (magnitude >> 53 != 0) {
    rest = rest || (magnitude & 1) != 0;
    magnitude >>= 1;
    ++exponent;
  }
  if (rest) magnitude |= 1;
  const double value =
      std::ldexp(static_cast<double>(static_cast<std::uint64_t>(magnitude)), exponent);
  return negative ? -value : value;
}

double add_to_odd(double a, double b) {
  const double sum = a + b, b_part = sum - a, error = (a - (sum - b_part)) + (b - b_part);
  const auto bits = std::bit_cast<std::uint64_t>(sum);
  if (error == 0 || (bits & 1) != 0) return sum;
  // An even neighbour was nearest: of the two that enclose the sum the odd one is beside it.
  return std::bit_cast<double>((error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

}  // namespace ebb::kernels
