#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/math.h"

#ifdef EBB_HAVE_MPFR
#include <mpfr.h>
#endif

using namespace ebb;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kTiny = std::numeric_limits<double>::denorm_min();
constexpr double kPi = math::kPi;

/// Seeded arguments from low to high, spread evenly, and (by their exponents) evenly in the
/// logarithm; both signs where low < 0.
[[maybe_unused]] std::vector<double> arguments(double low, double high, int count) {
  const Key key =
      Key(11).fold(std::bit_cast<std::uint64_t>(low)).fold(std::bit_cast<std::uint64_t>(high));
  std::vector<double> xs{low, high, std::nextafter(low, high), std::nextafter(high, low)};
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i) {
    xs.push_back(low + (high - low) * key.uniform(2 * i));
    const double x =
        std::ldexp(1 + key.uniform(2 * i), static_cast<int>(key.below(2 * i + 1, 2098)) - 1074);
    if (x >= low && x <= high) xs.push_back(x);
    if (-x >= low && -x <= high) xs.push_back(-x);
  }
  return xs;
}

#ifdef EBB_HAVE_MPFR

/// The true value, to 240 bits.
class Real {
 public:
  Real() { mpfr_init2(value_, 240); }
  ~Real() { mpfr_clear(value_); }
  Real(const Real&) = delete;
  Real& operator=(const Real&) = delete;
  operator mpfr_ptr() { return value_; }

  /// |y - true value| in units of the last place of the true value (2^-1074 for subnormals). Beyond the largest double only the
  /// infinity is right.
  double ulps(double y) {
    if (mpfr_nan_p(value_)) return y != y ? 0 : kInf;
    if (std::isinf(mpfr_get_d(value_, MPFR_RNDN)))
      return y == mpfr_get_d(value_, MPFR_RNDN) ? 0 : kInf;
    if (y != y || std::isinf(y)) return kInf;
    const long exponent =
        mpfr_zero_p(value_) ? -1074 : std::clamp(mpfr_get_exp(value_) - 53, -1074L, 971L);
    Real difference;
    mpfr_set_d(difference, y, MPFR_RNDN);
    mpfr_sub(difference, difference, value_, MPFR_RNDN);
    mpfr_mul_2si(difference, difference, -exponent, MPFR_RNDN);
    return std::abs(mpfr_get_d(difference, MPFR_RNDN));
  }

 private:
  mpfr_t value_;
};

/// cos or sin of pi x; the argument is reduced exactly first, so that 240 bits are enough for any
/// x.
void trigonometric(Real& y, double x, bool cosine) {
  const double r = std::fmod(x, 2.0);
  if (2 * r == std::floor(2 * r)) {
    const int quarters = static_cast<int>(2 * r) + (cosine ? 1 : 0);  // sin(quarters pi/2)
    mpfr_set_si(y, quarters % 2 == 0 ? 0 : (quarters & 3) == 1 ? 1 : -1, MPFR_RNDN);
    return;
  }
  mpfr_const_pi(y, MPFR_RNDN);
  mpfr_mul_d(y, y, r, MPFR_RNDN);
  (cosine ? mpfr_cos : mpfr_sin)(y, y, MPFR_RNDN);
}

/// Largest error over the arguments, and where it is.
struct Worst {
  double ulps = 0, x = 0;
};
template <class Function, class Truth>
Worst worst(const std::vector<double>& xs, const Function& function, const Truth& truth) {
  Worst worst;
  Real y;
  for (const double x : xs) {
    truth(y, x);
    const double ulps = y.ulps(function(x));
    if (!(ulps <= worst.ulps)) worst = {ulps, x};
  }
  return worst;
}

#endif

}  // namespace

#ifdef EBB_HAVE_MPFR

TEST_CASE("the elementary functions are within their stated ulps of MPFR's") {
  struct Case {
    std::string name;
    double (*function)(double);
    void (*truth)(Real&, double);
    double low, high, ulps;
  };
  const auto exp = [](Real& y, double x) {
    mpfr_set_d(y, x, MPFR_RNDN), mpfr_exp(y, y, MPFR_RNDN);
  };
  const auto log = [](Real& y, double x) {
    mpfr_set_d(y, x, MPFR_RNDN), mpfr_log(y, y, MPFR_RNDN);
  };
  const auto tanh = [](Real& y, double x) {
    mpfr_set_d(y, x, MPFR_RNDN), mpfr_tanh(y, y, MPFR_RNDN);
  };
  const auto cos = [](Real& y, double x) { trigonometric(y, x, true); };
  const auto sin = [](Real& y, double x) { trigonometric(y, x, false); };
  const Case cases[] = {
      {"exp", math::exp, exp, -760, 720, 1},
      {"exp near 0", math::exp, exp, -1, 1, 1},
      {"exp where it becomes subnormal", math::exp, exp, -746, -707, 1},
      {"exp where it overflows", math::exp, exp, 709.7, 709.8, 1},
      {"log", math::log, log, kTiny, std::numeric_limits<double>::max(), 1},
      {"log of subnormals", math::log, log, kTiny, 0x1p-1022, 1},
      {"log near 1", math::log, log, 0.7, 1.5, 1},
      {"log very near 1", math::log, log, 1 - 0x1p-20, 1 + 0x1p-20, 1},
      {"cos_pi", math::cos_pi, cos, -2, 2, 1},
      {"cos_pi of large arguments", math::cos_pi, cos, -0x1p53, 0x1p53, 1},
      {"cos_pi near its zero", math::cos_pi, cos, 0.5 - 0x1p-10, 0.5 + 0x1p-10, 1},
      {"sin_pi", math::sin_pi, sin, -2, 2, 1},
      {"sin_pi of large arguments", math::sin_pi, sin, -0x1p53, 0x1p53, 1},
      {"sin_pi near its zero", math::sin_pi, sin, 1 - 0x1p-10, 1 + 0x1p-10, 1},
      {"tanh", math::tanh, tanh, -25, 25, 2.5},
      {"tanh near 0", math::tanh, tanh, -0.5, 0.5, 2.5}};
  for (const Case& c : cases) {
    const Worst found = worst(arguments(c.low, c.high, 20000), c.function, c.truth);
    CAPTURE(c.name);
    CAPTURE(found.x);
    CHECK(found.ulps <= c.ulps);
  }
}

TEST_CASE(
    "integer powers are within n ulp, real powers within 3 |exponent log base| + 1 ulp, of "
    "MPFR's") {
  const Key key(12);
  Real y, b;
  double worst_integer = 0, worst_real = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double base =
        std::ldexp(1 + key.uniform(4 * i), static_cast<int>(key.below(4 * i + 1, 21)) - 10);
    const auto n = static_cast<std::int64_t>(key.below(4 * i + 2, 90));
    const double exponent = 100 * key.uniform(4 * i + 3) - 50;
    mpfr_set_d(b, base, MPFR_RNDN);
    mpfr_pow_si(y, b, static_cast<long>(n), MPFR_RNDN);
    const double integer_error = y.ulps(math::pow(base, n));
    mpfr_set_d(y, exponent, MPFR_RNDN);
    mpfr_pow(y, b, y, MPFR_RNDN);
    const double real_error = y.ulps(math::pow(base, exponent));
    worst_integer =
        std::max(worst_integer, integer_error / static_cast<double>(std::max<std::int64_t>(n, 1)));
    worst_real = std::max(worst_real, real_error / (3 * std::abs(exponent * std::log(base)) + 1));
  }
  CHECK(worst_integer <= 1);
  CHECK(worst_real <= 1);
}

#endif

TEST_CASE("elementary functions give exact values where the true value is one") {
  struct Case {
    std::string why;
    double got, expected;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Case cases[] = {{"exp(0)", math::exp(0.0), 1.0},
                        {"exp(-inf)", math::exp(-kInf), 0.0},
                        {"exp(+inf)", math::exp(kInf), kInf},
                        {"exp(710) overflows", math::exp(710.0), kInf},
                        {"exp(-746) underflows", math::exp(-746.0), 0.0},
                        {"log(1)", math::log(1.0), 0.0},
                        {"log(0)", math::log(0.0), -kInf},
                        {"log(inf)", math::log(kInf), kInf},
                        {"cos_pi(0)", math::cos_pi(0.0), 1.0},
                        {"cos_pi(1/2)", math::cos_pi(0.5), 0.0},
                        {"cos_pi(1)", math::cos_pi(1.0), -1.0},
                        {"cos_pi(-3/2)", math::cos_pi(-1.5), 0.0},
                        {"cos_pi of the largest half-integer", math::cos_pi(0x1p52 - 0.5), 0.0},
                        {"cos_pi of an odd integer beyond 2^52", math::cos_pi(0x1p52 + 1), -1.0},
                        {"cos_pi of an even integer beyond 2^52", math::cos_pi(0x1p52 + 2), 1.0},
                        {"sin_pi(1/2)", math::sin_pi(0.5), 1.0},
                        {"sin_pi(7)", math::sin_pi(7.0), 0.0},
                        {"sin_pi of an integer beyond 2^52", math::sin_pi(0x1p52 + 1), 0.0},
                        {"tanh(0)", math::tanh(0.0), 0.0},
                        {"tanh(40)", math::tanh(40.0), 1.0},
                        {"tanh(-inf)", math::tanh(-kInf), -1.0},
                        {"0.9^0", math::pow(0.9, std::int64_t{0}), 1.0},
                        {"2^62", math::pow(2.0, std::int64_t{62}), 0x1p62},
                        {"0^0.5", math::pow(0.0, 0.5), 0.0},
                        {"0^-0.5", math::pow(0.0, -0.5), kInf},
                        {"7^0.0", math::pow(7.0, 0.0), 1.0}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    CHECK(c.got == c.expected);
  }
  for (const double got : {math::exp(nan), math::log(nan), math::log(-1.0), math::cos_pi(nan),
                           math::cos_pi(kInf), math::sin_pi(-kInf), math::tanh(nan)}) {
    CHECK(got != got);
  }
  CHECK(std::signbit(math::tanh(-0.0)));
}

TEST_CASE("round_half_even takes ties to the even integer") {
  struct Case {
    double x, rounded;
  };
  const Case cases[] = {{0.5, 0},
                        {1.5, 2},
                        {2.5, 2},
                        {-0.5, 0},
                        {-1.5, -2},
                        {-2.5, -2},
                        {0.49999999999999994, 0},
                        {3.7, 4},
                        {-3.2, -3},
                        {0, 0},
                        {0x1p51 - 0.5, 0x1p51},
                        {0x1p52 + 1, 0x1p52 + 1},
                        {1e300, 1e300},
                        {-kInf, -kInf}};
  for (const Case& c : cases) {
    CAPTURE(c.x);
    CHECK(math::round_half_even(c.x) == c.rounded);
  }
  CHECK(kPi == 3.14159265358979323846);
}

TEST_CASE("the elementary functions give the same bits on every machine") {
  // A fingerprint over many arguments: any change of a constant, an order of operations or a
  // contraction moves it.
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto mix = [&](double y) {
    hash = (hash ^ std::bit_cast<std::uint64_t>(y)) * 0x100000001b3ULL;
  };
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
  CHECK(hash == 11901315586258489087ULL);
}
