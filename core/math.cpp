#include "core/math.h"

#include <bit>
#include <cmath>
#include <limits>

namespace ebb::math {
namespace {

// ln 2 split so that k * kLn2High is exact for every exponent k of a double.
constexpr double kLn2High = 0x1.62e42fee00000p-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kInvLn2 = 0x1.71547652b82fep+0;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// 2^k for k in [-1022, 1023].
double power_of_two(int k) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(k + 1023) << 52);
}

/// exp(r + r_low) - 1 for |r| <= 0.35, r_low the rounding error of r. Taylor to r^13: the remainder
/// is below 2^-57 relative.
double expm1_small(double r, double r_low) {
  constexpr double c[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                          1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                          1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5};
  double p = c[0];
  for (int i = 1; i < 12; ++i) p = p * r + c[i];
  return r + (r * r * p + (r_low + r_low * r));
}

/// cos(y + y_low) for |y| <= pi/4, y_low the rounding error of y.
double cos_small(double y, double y_low) {
  const double z = y * y;
  double p = 1.0 / 20922789888000.0;
  p = p * z - 1.0 / 87178291200.0;
  p = p * z + 1.0 / 479001600.0;
  p = p * z - 1.0 / 3628800.0;
  p = p * z + 1.0 / 40320.0;
  p = p * z - 1.0 / 720.0;
  p = p * z + 1.0 / 24.0;
  const double half = 0.5 * z;
  const double lead = 1.0 - half;
  return lead + (((1.0 - lead) - half) + (z * z * p - y * y_low));
}

/// sin(y + y_low), likewise.
double sin_small(double y, double y_low) {
  const double z = y * y;
  double p = 1.0 / 355687428096000.0;
  p = p * z - 1.0 / 1307674368000.0;
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  return y + (y * z * p + y_low);
}

/// pi * r as a sum high + low, for |r| <= 1/4.
struct Angle {
  double high, low;
};
Angle times_pi(double r) {
  constexpr double pi_low = 1.2246467991473531772e-16;
  constexpr double splitter = 134217729.0;  // 2^27 + 1: Dekker's exact product without fma
  const double high = r * kPi;
  const double ra = r * splitter, rh = ra - (ra - r), rl = r - rh;
  const double pa = kPi * splitter, ph = pa - (pa - kPi), pl = kPi - ph;
  const double error = ((rh * ph - high) + rh * pl + rl * ph) + rl * pl;
  return {high, error + r * pi_low};
}

/// cos(pi x + shift pi/2).
double cos_pi_shifted(double x, int shift) {
  if (!(std::abs(x) < 0x1p53)) {
    if (!(std::abs(x) < kInf)) return kNaN;
    x = 0.0;  // every double this large is an even integer
  }
  const double quarters = round_half_even(2.0 * x);
  const Angle y = times_pi(x - 0.5 * quarters);
  const int quadrant = static_cast<int>((static_cast<std::int64_t>(quarters) + shift) & 3);
  switch (quadrant) {
    case 0: return cos_small(y.high, y.low);
    case 1: return -sin_small(y.high, y.low);
    case 2: return -cos_small(y.high, y.low);
    default: return sin_small(y.high, y.low);
  }
}

/// exp(x) = 2^k (1 + fraction), |x| < 1000.
struct Exponential {
  double k, fraction;
};
Exponential exponential(double x) {
  const double k = round_half_even(x * kInvLn2);
  const double high = x - k * kLn2High;
  const double low = k * kLn2Low;
  const double r = high - low;
  return {k, expm1_small(r, (high - r) - low)};
}

}  // namespace

double round_half_even(double x) {
  if (!(std::abs(x) < 0x1p52)) return x;
  const double shift = std::copysign(0x1p52, x);
  return (x + shift) - shift;
}

double exp(double x) {
  if (!(x < 709.782712893384)) return x != x ? x : kInf;
  if (x < -745.2) return 0.0;
  const auto [k, fraction] = exponential(x);
  const double y = 1.0 + fraction;
  const int n = static_cast<int>(k);
  if (n < -1021) return y * power_of_two(n + 1000) * power_of_two(-1000);
  if (n > 1023) return y * power_of_two(n - 1) * 2.0;
  return y * power_of_two(n);
}

double log(double x) {
  if (!(x > 0)) return x == 0 ? -kInf : kNaN;
  if (!(x < kInf)) return x;
  int e = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    e = -54;
  }
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  // Take the exponent so that the fraction lies in [sqrt(1/2), sqrt(2)).
  const std::uint64_t shifted = bits - 0x3fe6a09e667f3bcdULL;
  e += static_cast<int>(static_cast<std::int64_t>(shifted) >> 52);
  const double m = std::bit_cast<double>(bits - (shifted & 0xfff0000000000000ULL));
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 2.0 / 25.0;
  for (int odd = 23; odd >= 3; odd -= 2) p = p * z + 2.0 / odd;
  const double r = z * p;
  const double half_square = 0.5 * f * f;
  // The usual arrangement that keeps f exact: log(1 + f) = f - (f^2/2 - s (f^2/2 + r)).
  return e * kLn2High - ((half_square - (s * (half_square + r) + e * kLn2Low)) - f);
}

double cos_pi(double x) { return cos_pi_shifted(x, 0); }

double sin_pi(double x) {
  if (std::abs(x) < 0x1p-30) {  // sin(pi x) = pi x to 60 bits; scaled, so that no part of the
                                // product becomes subnormal
    const Angle y = times_pi(x * 0x1p600);
    return (y.high + y.low) * 0x1p-600;
  }
  return cos_pi_shifted(x, 3);
}

double tanh(double x) {
  const double a = std::abs(x);
  if (a != a) return x;
  if (a > 20) return std::copysign(1.0, x);
  // expm1(2a) / (expm1(2a) + 2), which loses nothing near 0.
  const auto [k, fraction] = exponential(2 * a);
  const double power = power_of_two(static_cast<int>(k));
  const double e = (power - 1.0) + power * fraction;
  return std::copysign(e / (e + 2.0), x);
}

double pow(double base, std::int64_t n) {
  double result = 1.0;
  for (double square = base; n > 0; n >>= 1, square *= square) {
    if (n & 1) result *= square;
  }
  return result;
}

double pow(double base, double exponent) {
  if (exponent == 0) return 1.0;
  if (base == 0) return exponent > 0 ? 0.0 : kInf;
  return exp(exponent * log(base));
}

}  // namespace ebb::math
