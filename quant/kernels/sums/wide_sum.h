#pragma once

#include <array>
#include <cstdint>

namespace ebb::kernels {

/// An exact sum of float64 numbers, such as the products of numbers of any two formats: a
/// fixed-point register that is wide enough for all of them (a Kulisch accumulator).
class WideSum {
 public:
  /// Adds x, a multiple of 2^-384 with |x| < 2^288; up to 2^30 numbers in all. Infinities and NaNs
  /// make of the sum what IEEE 754 makes of it.
  void add(double x);
  /// The sum as float64, rounded to odd: rounded once more, to any format of up to 51 bits of
  /// significand, it is what rounding the exact sum gives. A zero is +0.
  [[nodiscard]] double rounded_to_odd() const;

 private:
  static constexpr int kLowest = -384, kDigits = 23;
  std::array<std::int64_t, kDigits> digits_{};  ///< of 2^32, the lowest first; carries wait
  double special_ = 0;                          ///< the sum of what is not finite
};

/// A sum of two float64 numbers, rounded to odd. Neither is an infinity or a NaN.
double add_to_odd(double a, double b);

}  // namespace ebb::kernels
