#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "core/key.h"
#include "core/math.h"

#ifdef EBB_HAVE_MPFR
#include <mpfr.h>
#endif

using namespace ebb;

namespace {
constexpr double kInf = std::numeric_limits<double>::infinity();
}

TEST_CASE("exact and special arguments of the elementary functions") {
  CHECK(math::exp(0) == 1);
  CHECK(math::exp(-kInf) == 0);
  CHECK(math::exp(kInf) == kInf);
  CHECK(math::exp(710) == kInf);
  CHECK(math::exp(-746) == 0);
  CHECK(math::log(1) == 0);
  CHECK(math::log(0) == -kInf);
  CHECK(std::isnan(math::log(-1)));
  CHECK(math::log(kInf) == kInf);
  CHECK(std::isnan(math::exp(std::nan(""))));
  CHECK(std::isnan(math::tanh(std::nan(""))));
  for (const double n : {0.0, 1.0, 2.0, 7.0, 1000.0, -3.0}) {
    CHECK(math::cos_pi(n + 0.5) == 0);
    CHECK(math::sin_pi(n) == 0);
    CHECK(math::cos_pi(n) == (std::fmod(n, 2) == 0 ? 1 : -1));
  }
  CHECK(math::pow(2.0, std::int64_t{10}) == 1024);
  CHECK(math::pow(0.0, 0.5) == 0);
  CHECK(math::pow(0.0, 0.0) == 1);
  CHECK(math::pow(3.0, std::int64_t{0}) == 1);
  CHECK(math::tanh(0) == 0);
  CHECK(math::tanh(50) == 1);
  CHECK(math::tanh(-50) == -1);
}

TEST_CASE("round_half_even takes ties to even and leaves large values alone") {
  struct Case {
    double x, rounded;
  };
  const Case cases[] = {{0.5, 0}, {1.5, 2}, {2.5, 2}, {-0.5, 0}, {-1.5, -2}, {0.49999999999999994, 0}, {2.4, 2}, {0x1p60, 0x1p60}};
  for (const Case& c : cases) {
    CAPTURE(c.x);
    CHECK(math::round_half_even(c.x) == c.rounded);
  }
}

#ifdef EBB_HAVE_MPFR
namespace {

/// Distance of y from the value that `f` computes at x with 200 bits, in units of y's last place.
template <class F>
double ulp_error(double y, double x, const F& f) {
  mpfr_t exact, argument;
  mpfr_inits2(200, exact, argument, static_cast<mpfr_ptr>(nullptr));
  mpfr_set_d(argument, x, MPFR_RNDN);
  f(exact, argument);
  const double nearest = mpfr_get_d(exact, MPFR_RNDN);
  mpfr_sub_d(exact, exact, y, MPFR_RNDN);
  const double difference = std::fabs(mpfr_get_d(exact, MPFR_RNDN));
  mpfr_clears(exact, argument, static_cast<mpfr_ptr>(nullptr));
  if (difference == 0 || nearest == y) return 0;
  const double magnitude = std::fabs(nearest);
  const double ulp = std::nextafter(magnitude, kInf) - magnitude;
  return difference / ulp;
}

}  // namespace

TEST_CASE("the elementary functions stay within their stated bounds of arbitrary-precision values") {
  const auto times_pi = [](mpfr_ptr y, mpfr_srcptr x) {
    mpfr_const_pi(y, MPFR_RNDN);
    mpfr_mul(y, y, x, MPFR_RNDN);
  };
  double worst_exp = 0, worst_log = 0, worst_cos = 0, worst_sin = 0, worst_tanh = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const Key key = Key(5).fold(i);
    const double u = key.uniform(0);
    const double near_zero = (u - 0.5) * math::exp(-30 * key.uniform(1));
    const double positive = math::exp(1400 * u - 700);
    for (const double x : {1400 * u - 700, near_zero, 20 * u - 10}) {
      worst_exp = std::max(worst_exp, ulp_error(math::exp(x), x, [](mpfr_ptr y, mpfr_srcptr a) { mpfr_exp(y, a, MPFR_RNDN); }));
      worst_tanh = std::max(worst_tanh, ulp_error(math::tanh(x), x, [](mpfr_ptr y, mpfr_srcptr a) { mpfr_tanh(y, a, MPFR_RNDN); }));
    }
    for (const double x : {positive, 1 + near_zero, 4 * u + 1e-9}) {
      worst_log = std::max(worst_log, ulp_error(math::log(x), x, [](mpfr_ptr y, mpfr_srcptr a) { mpfr_log(y, a, MPFR_RNDN); }));
    }
    for (const double x : {u, 2 * u, 1000 * (u - 0.5), near_zero, 0.5 + near_zero}) {
      if (std::fmod(2 * x, 1) == 0) continue;  // exact, see above; MPFR's rounded pi is not
      worst_cos = std::max(worst_cos, ulp_error(math::cos_pi(x), x, [&](mpfr_ptr y, mpfr_srcptr a) {
                             times_pi(y, a);
                             mpfr_cos(y, y, MPFR_RNDN);
                           }));
      worst_sin = std::max(worst_sin, ulp_error(math::sin_pi(x), x, [&](mpfr_ptr y, mpfr_srcptr a) {
                             times_pi(y, a);
                             mpfr_sin(y, y, MPFR_RNDN);
                           }));
    }
  }
  MESSAGE("worst errors in ulp: exp " << worst_exp << ", log " << worst_log << ", cos " << worst_cos << ", sin " << worst_sin
                                      << ", tanh " << worst_tanh);
  CHECK(worst_exp <= 1);
  CHECK(worst_log <= 1);
  CHECK(worst_cos <= 1);
  CHECK(worst_sin <= 1);
  CHECK(worst_tanh <= 3);
}

TEST_CASE("powers stay within their stated bounds") {
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const Key key = Key(6).fold(i);
    const double base = 4 * key.uniform(0);
    const auto n = static_cast<std::int64_t>(key.below(1, 60));
    CAPTURE(base);
    CAPTURE(n);
    CHECK(ulp_error(math::pow(base, n), base, [&](mpfr_ptr y, mpfr_srcptr a) { mpfr_pow_si(y, a, n, MPFR_RNDN); }) <=
          std::max(1.0, double(n)));
    const double exponent = 20 * (key.uniform(2) - 0.5);
    CAPTURE(exponent);
    const double bound = 2 + std::fabs(exponent * math::log(base)) * 2;
    CHECK(ulp_error(math::pow(base, exponent), base, [&](mpfr_ptr y, mpfr_srcptr a) {
            mpfr_t e;
            mpfr_init2(e, 200);
            mpfr_set_d(e, exponent, MPFR_RNDN);
            mpfr_pow(y, a, e, MPFR_RNDN);
            mpfr_clear(e);
          }) <= bound);
  }
}
#endif

TEST_CASE("the elementary functions give the same bits on every machine") {
  // A fingerprint over many arguments: any change of a constant, an order of operations or a contraction moves it.
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto mix = [&](double y) { hash = (hash ^ std::bit_cast<std::uint64_t>(y)) * 0x100000001b3ULL; };
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const double u = Key(7).uniform(i);
    mix(math::exp(100 * u - 50));
    mix(math::log(u + 1e-12));
    mix(math::cos_pi(4 * u));
    mix(math::sin_pi(4 * u));
    mix(math::tanh(8 * u - 4));
    mix(math::pow(u, 0.37));
    mix(Key(8).normal(i));
  }
  CHECK(hash == 10219802435617965414ULL);
}
