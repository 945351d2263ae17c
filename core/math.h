#pragma once

#include <cstdint>

/// Elementary functions that give the same bits on every machine: libm's differ between versions
/// and vendors, and schedules, initialisation and losses are part of a run's result. Only IEEE + -
/// * / and sqrt in a stated order; no fma contraction. Each is within 1 ulp of the true value on
/// the stated domain unless it says otherwise (tests check against MPFR).
namespace ebb::math {

inline constexpr double kPi = 3.141592653589793238462643383279502884;

double exp(double x);     ///< all x; underflow to 0 and overflow to +inf as usual
double log(double x);     ///< x > 0; log(0) = -inf; NaN for x < 0
double cos_pi(double x);  ///< cos(pi x), argument reduced exactly: cos_pi(0.5) == 0
double sin_pi(double x);  ///< sin(pi x), argument reduced exactly
double tanh(double x);    ///< within 2.5 ulp
double pow(double base,
           std::int64_t n);  ///< base^n by repeated squaring, n >= 0; error below n ulp
double pow(
    double base,
    double exponent);  ///< base >= 0; exp(exponent log base), within 3 |exponent log base| + 1 ulp

/// Rounds to the nearest integer, ties to even; infinities and NaN stay.
double round_half_even(double x);

}  // namespace ebb::math
