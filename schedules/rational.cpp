#include "schedules/rational.h"

#include <limits>

#include "core/error.h"

namespace ebb {
namespace {

/// What text may state: 18 digits on either side of the division, so that products with a run's
/// length still fit.
constexpr int kDigits = 18;

int128 gcd(int128 a, int128 b) {
  if (a < 0) a = -a;
  while (b != 0) {
    const int128 rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

int128 times(int128 a, int128 b) {
  int128 product = 0;
  require<ConfigError>(!__builtin_mul_overflow(a, b, &product),
                       "[schedule] lengths are too finely divided to be added exactly; ",
                       "write them with fewer digits");
  return product;
}

int128 power_of_ten(int n) {
  int128 power = 1;
  for (int i = 0; i < n; ++i) power *= 10;
  return power;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads digits, a point and an exponent at the front of the text; 0 characters if that is no
/// number of at most kDigits digits.
std::size_t parse_decimal(std::string_view text, Rational& value) {
  std::size_t at = 0;
  int128 mantissa = 0;
  int exponent = 0;
  bool any = false, point = false;
  for (; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !point)); ++at) {
    if (text[at] == '.') {
      point = true;
      continue;
    }
    any = true;
    mantissa = mantissa * 10 + (text[at] - '0');
    exponent -= point ? 1 : 0;
    if (mantissa >= power_of_ten(kDigits)) return 0;
  }
  if (!any) return 0;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    std::size_t digits = at + 1;
    const bool negative = digits < text.size() && text[digits] == '-';
    if (digits < text.size() && (text[digits] == '-' || text[digits] == '+')) ++digits;
    if (digits < text.size() && is_digit(text[digits])) {  // otherwise the e begins a unit: "3ep"
      int scale = 0;
      for (at = digits; at < text.size() && is_digit(text[at]); ++at) {
        scale = scale * 10 + (text[at] - '0');
        if (scale > 2 * kDigits) return 0;
      }
      exponent += negative ? -scale : scale;
    }
  }
  if (exponent > kDigits || exponent < -2 * kDigits) return 0;
  const Rational read = exponent >= 0 ? Rational(mantissa * power_of_ten(exponent), 1)
                                      : Rational(mantissa, power_of_ten(-exponent));
  if (read.num() > power_of_ten(kDigits) || read.den() > power_of_ten(kDigits)) return 0;
  value = read;
  return at;
}

}  // namespace

Rational::Rational(int128 num, int128 den) : num_(num), den_(den) {
  require<ConfigError>(den != 0, "[schedule] a fraction has the denominator 0");
  const int128 shared = gcd(num, den) * (den < 0 ? -1 : 1);
  num_ /= shared;
  den_ /= shared;
}

std::int64_t Rational::ceil() const {
  const int128 whole = num_ / den_ + (num_ % den_ > 0 ? 1 : 0);
  require<ConfigError>(whole <= std::numeric_limits<std::int64_t>::max() &&
                           whole >= std::numeric_limits<std::int64_t>::min(),
                       "[schedule] a length is too long to be counted in updates");
  return static_cast<std::int64_t>(whole);
}

Rational operator+(const Rational& a, const Rational& b) {
  const int128 shared = gcd(a.den_, b.den_);
  int128 sum = 0;
  require<ConfigError>(
      !__builtin_add_overflow(times(a.num_, b.den_ / shared), times(b.num_, a.den_ / shared), &sum),
      "[schedule] lengths are too long to be added exactly");
  return {sum, times(a.den_, b.den_ / shared)};
}

Rational operator*(const Rational& a, const Rational& b) {
  const Rational left(a.num_, b.den_),
      right(b.num_, a.den_);  // crosswise in lowest terms first, so that less overflows
  return {times(left.num_, right.num_), times(left.den_, right.den_)};
}

Rational operator/(const Rational& a, const Rational& b) { return a * Rational(b.den_, b.num_); }

std::size_t parse_rational(std::string_view text, Rational& value) {
  Rational num, den;
  const std::size_t first = parse_decimal(text, num);
  if (first == 0) return 0;
  value = num;
  if (first == text.size() || text[first] != '/') return first;
  const std::size_t second = parse_decimal(text.substr(first + 1), den);
  if (second == 0 || den.num() == 0) return 0;
  const Rational quotient = num / den;
  if (quotient.num() > power_of_ten(kDigits) || quotient.den() > power_of_ten(kDigits)) return 0;
  value = quotient;
  return first + 1 + second;
}

std::string to_text(const Rational& value) {
  const auto digits = [](int128 whole) { return to_text(static_cast<uint128>(whole)); };
  const std::string sign = value.num() < 0 ? "-" : "";
  const int128 num = value.num() < 0 ? -value.num() : value.num();
  if (value.den() == 1) return sign + digits(num);
  for (int places = 1; places < kDigits; ++places) {
    if (power_of_ten(places) % value.den() != 0) continue;
    int128 scaled = 0;
    if (__builtin_mul_overflow(num, power_of_ten(places) / value.den(), &scaled) ||
        scaled >= power_of_ten(kDigits))
      break;
    std::string text = digits(scaled);
    if (text.size() <= static_cast<std::size_t>(places))
      text.insert(0, static_cast<std::size_t>(places) + 1 - text.size(), '0');
    return sign + text.insert(text.size() - static_cast<std::size_t>(places), ".");
  }
  return concat(sign, digits(num), "/", digits(value.den()));
}

}  // namespace ebb
