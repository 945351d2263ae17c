#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ebb {

__extension__ typedef __int128 int128;  // NOLINT(modernize-use-using): __extension__ takes no using

/// An exact fraction in lowest terms with a positive denominator. Boundaries of schedules are
/// ceilings of these, never of doubles: 7 % of 100 updates is update 7, though 0.07 * 100 in
/// doubles is 7.000000000000001, whose ceiling is 8. Every operation throws ConfigError if its
/// result does not fit 127 bits.
class Rational {
 public:
  Rational() = default;
  Rational(std::int64_t whole) : num_(whole) {}  // NOLINT: a whole number is a fraction
  /// @throws ConfigError if den is 0
  Rational(int128 num, int128 den);

  int128 num() const { return num_; }
  int128 den() const { return den_; }

  /// The smallest whole number that is not below the fraction.
  /// @throws ConfigError if it does not fit 63 bits
  std::int64_t ceil() const;

  friend Rational operator+(const Rational& a, const Rational& b);
  friend Rational operator-(const Rational& a, const Rational& b) {
    return a + Rational(-b.num_, b.den_);
  }
  friend Rational operator*(const Rational& a, const Rational& b);
  friend Rational operator/(const Rational& a, const Rational& b);
  friend bool operator==(const Rational& a, const Rational& b) = default;
  friend bool operator<(const Rational& a, const Rational& b) { return (a - b).num_ < 0; }

 private:
  int128 num_ = 0, den_ = 1;
};

/// Reads the longest decimal ("2.5", ".1", "5e6") or quotient of two ("1/3") at the front of the
/// text, without a sign.
/// @returns the characters read: 0 if there is no number, or one beyond 18 significant digits
std::size_t parse_rational(std::string_view text, Rational& value);

/// A decimal where 18 digits suffice, else a quotient: "2.5", "1/3". `parse_rational` reads back
/// whatever it once produced.
std::string to_text(const Rational& value);

}  // namespace ebb
