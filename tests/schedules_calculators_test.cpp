#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/key.h"
#include "schedules/last_iterate.h"
#include "schedules/refine.h"
#include "schedules/schedule.h"

using namespace ebb;

namespace {

const std::vector<double> kOne{1.0};

LastIterateBound bound_of(const char* expression, std::int64_t updates) {
  return last_iterate_bound(steps_of(Schedule::parse(expression).bind(updates)), kOne);
}

/// The definition, term by term, S and Q summed anew for every k.
double omega_by_definition(const std::vector<double>& h, const std::vector<double>& g, double d) {
  const auto sum = [&](std::size_t k, bool squares) {
    double total = 0;
    for (std::size_t j = k; j < h.size(); ++j) total += squares ? h[j] * h[j] * g[j] * g[j] : h[j];
    return total;
  };
  double omega = d * d / (2 * sum(0, false)) + sum(0, true) / (2 * sum(0, false));
  for (std::size_t k = 0; k + 1 < h.size(); ++k)
    omega += 0.5 * h[k] * sum(k, true) / (sum(k + 1, false) * sum(k, false));
  return omega;
}

double harmonic(std::int64_t n) {
  double sum = 0;
  for (std::int64_t k = 1; k <= n; ++k) sum += 1.0 / static_cast<double>(k);
  return sum;
}

}  // namespace

TEST_CASE("the last-iterate bound of known schedules has the published values") {
  struct Case {
    const char* expression;
    double omega[3], gamma[3];  // times sqrt(T), at T = 100, 1000, 4000; gamma 0: not published
  };
  const Case cases[] = {
      {"1", {2.485, 2.913, 3.142}, {.402, .343, .318}},
      {"inv(sqrt(affine(update, 1, 1)))", {2.253, 2.570, 2.754}, {0, 0, 0}},
      {"step(50%, 75%)", {2.555, 2.495, 2.495}, {.742, .760, .760}},
      {".1->1:lin @50% ; 1->.1:lin @rest", {2.254, 2.305, 2.355}, {.807, .789, .772}},
      {"1 @rest ; lin @20%", {2.230, 2.173, 2.164}, {.495, .511, .513}},
      {"1 @rest ; sqrt1 @20%", {2.187, 2.135, 2.129}, {.524, .540, .542}},
      {"exp(3)", {2.082, 2.152, 2.201}, {1.494, 1.465, 1.434}},
      {"cos", {2.091, 2.063, 2.061}, {.947, .968, .970}},
      {"rex(.9)", {2.222, 2.180, 2.168}, {.541, .555, .558}},
      {"rex", {2.061, 2.025, 2.019}, {.784, .804, .807}},
      {"1 @rest ; lin @60%", {2.058, 2.024, 2.019}, {.689, .705, .708}},
      {"lin", {2.036, 2.006, 2.002}, {.973, .996, .999}}};
  const std::int64_t lengths[] = {100, 1000, 4000};
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    for (std::size_t i = 0; i < 3; ++i) {
      const LastIterateBound bound = bound_of(c.expression, lengths[i]);
      const double root = std::sqrt(static_cast<double>(lengths[i]));
      CHECK(std::abs(bound.best() * root - c.omega[i]) < 0.001);
      if (c.gamma[i] > 0) CHECK(std::abs(bound.best_gamma() * root - c.gamma[i]) < 0.001);
    }
  }
  CHECK(std::abs(bound_of("lin", 400).best_gamma() - .049563) < 1e-6);
  CHECK(std::abs(bound_of("cos", 400).best_gamma() - .048242) < 1e-6);
  CHECK(std::abs(bound_of("1 @rest ; lin @20%", 400).best_gamma() - .025374) < 1e-6);
  CHECK(std::abs(bound_of("1", 400).best_gamma() - .018176) < 1e-6);
  // A cosine that is longer than the run.
  const double longer[] = {.1034, .1112, .1219, .1336};
  for (int i = 0; i < 4; ++i) {
    const double factor[] = {1, 1.5, 2, 4};
    const Schedule cosine = schedules::stretch(
        schedules::cosine(), Length::updates(static_cast<std::int64_t>(400 * factor[i])));
    CHECK(std::abs(last_iterate_bound(steps_of(cosine.bind(400)), kOne).best() - longer[i]) < 1e-4);
  }
}

TEST_CASE("the last-iterate bound is its definition, its closed form, and scales as D and G") {
  const Key key(7);
  std::vector<double> steps, norms;
  for (std::uint64_t k = 0; k < 200; ++k) {
    steps.push_back(k == 60 ? 0.0 : std::abs(key.normal(2 * k)));  // 0 in the middle is legal
    norms.push_back(std::abs(key.normal(2 * k + 1)));
  }
  const LastIterateBound bound = last_iterate_bound(steps, norms, 3);
  CHECK(bound.omega(1) == doctest::Approx(omega_by_definition(steps, norms, 3)).epsilon(1e-12));
  CHECK(bound.omega(bound.best_gamma()) == doctest::Approx(bound.best()).epsilon(1e-14));
  CHECK(bound.omega(1.01 * bound.best_gamma()) > bound.best());
  std::vector<double> trailing = steps;
  trailing.resize(220, 0);
  norms.resize(220, 5);
  CHECK(last_iterate_bound(trailing, norms, 3).best() == bound.best());
  std::vector<double> doubled = norms;
  for (double& norm : doubled) norm *= 2;
  CHECK(last_iterate_bound(steps, doubled, 12).best() ==
        doctest::Approx(8 * bound.best()).epsilon(1e-14));
  CHECK(last_iterate_bound(steps, doubled, 12).best_gamma() ==
        doctest::Approx(2 * bound.best_gamma()).epsilon(1e-14));
  const std::vector<double> path = last_iterate_path(steps, norms, 3, 0.5);
  REQUIRE(path.size() == 200);
  for (const std::size_t n : {1U, 2U, 50U, 200U})
    CHECK(path[n - 1] == last_iterate_bound(std::span(steps).first(n), norms, 3).omega(0.5));
  // Constant steps: D^2 / (2 gamma n) + gamma G^2 (1 + H_{n-1}) / 2.
  CHECK(bound_of("1", 1000).omega(0.02) ==
        doctest::Approx(1 / (2 * 0.02 * 1000) + 0.02 * (1 + harmonic(999)) / 2).epsilon(1e-12));
}

TEST_CASE("a plateau with a decay stays below its closed bound, without a logarithm") {
  for (const std::int64_t t : {100, 400, 1000, 2000, 5000}) {
    const auto n = static_cast<double>(t), from = n - std::floor(0.2 * (n + 1)) + 1;
    const auto whole = static_cast<std::int64_t>(from);
    const double closed = std::sqrt(
        4 / (n + from) *
        (2.0 / 3 + (n + 2 * from) / (3 * (n + from)) + harmonic(t + whole - 2) -
         harmonic(t - whole + 1) - (n - from) * (from - 1) / (3 * (n - from + 2) * (n + from)) +
         1 / ((n - from) * (n - from)) + harmonic(t - whole - 1) / (n - from + 1)));
    const double best = bound_of("1 @rest ; lin @20%", t).best();
    CHECK(best <= closed);
    CHECK(closed < 1.25 * best);
  }
}

TEST_CASE("rates transfer between schedules and lengths by the published factors") {
  struct Case {
    const char* cooldown;
    double log_factor;
  };
  for (const Case& c : {Case{"10%", .78}, {"20%", .67}, {"40%", .50}, {"60%", .34}, {"80%", .18}}) {
    const std::string plateau = concat("1 @rest ; lin @", c.cooldown);
    CHECK(std::abs(std::log(bound_of("lin", 4000).best_gamma() /
                            bound_of(plateau.c_str(), 4000).best_gamma()) -
                   c.log_factor) < 0.01);
  }
  struct Longer {
    std::int64_t to;
    double plateau, cooldown;
  };
  for (const Longer& c :
       {Longer{6000, .64, .45}, {8000, .53, .63}, {12000, .43, .88}, {16000, .375, 1.0}}) {
    const Extension extension = extend_plateau(4000, c.to, 0.2);
    CHECK(std::abs(extension.plateau - c.plateau) < 0.01);
    CHECK(std::abs(extension.cooldown - c.cooldown) < 0.01);
  }
}

TEST_CASE("a schedule is refined to what its gradient norms ask for") {
  constexpr int kT = 4000;
  std::vector<double> constant(kT, 3.0), rising(kT), rex(kT);
  for (int t = 0; t < kT; ++t) {
    const double s = static_cast<double>(t) / kT;
    rising[static_cast<std::size_t>(t)] = 1 + s;
    // The norms that REX is the refinement of: (rate / sqrt(2 x its integral to the end))^(-1/2).
    // The integral of 2(1-s)/(2-s) from s to 1 is 2(1-s) - 2 ln(2-s).
    const double rate = 2 * (1 - s) / (2 - s), rest = 2 * (1 - s) - 2 * std::log(2 - s);
    rex[static_cast<std::size_t>(t)] = 1 / std::sqrt(rate / std::sqrt(2 * rest));
  }
  const RefinedSchedule linear = refine(constant), convex = refine(rising),
                        again = refine(rex, {.window = 0}), smoothed = refine(rex);
  double error = 0, rex_error = 0;
  bool below = true, bends = true;
  for (int t = 0; t < kT; ++t) {
    const auto i = static_cast<std::size_t>(t);
    error = std::max(error, std::abs(linear.rates[i] - (1 - t / (kT - 1.0))));
    rex_error = std::max(
        rex_error, std::abs(again.rates[i] - 2 * (1 - t / double{kT}) / (2 - t / double{kT})));
    below = below && (t == 0 || t == kT - 1 || convex.rates[i] < linear.rates[i]);
    if (t > kT / 10 && t < kT - kT / 10)
      bends = bends && convex.rates[i - 1] + convex.rates[i + 1] > 2 * convex.rates[i];
  }
  CHECK(error < 1e-12);
  CHECK(below);
  CHECK(bends);
  CHECK(rex_error < 5e-4);
  CHECK(std::abs(smoothed.rates[kT / 2] - 2.0 / 3) < 1e-3);
  CHECK(refine(constant, {.extend = true}).rates.back() > 0);
  CHECK(refine(constant, {.extend = true}).rates.size() == kT);
  CHECK(linear.warnings.empty());
  CHECK(shares_of(linear.rates, 2)[0] == doctest::Approx(0.75).epsilon(1e-3));
}

TEST_CASE("refinement smooths, leaves out what is not finite, and refuses what cannot work") {
  // Definition of the running median, with both edges, against sorting each window.
  std::vector<double> norms;
  for (std::uint64_t t = 0; t < 101; ++t) norms.push_back(1 + std::abs(Key(3).normal(t)));
  std::vector<double> weights(norms.size());
  constexpr int kHalf = 5;  // floor(0.1 x 101 / 2)
  for (int t = 0; t < 101; ++t) {
    std::vector<double> window;
    for (int i = t - kHalf; i <= t + kHalf; ++i)
      window.push_back(norms[static_cast<std::size_t>(i < 0 ? 0 : i > 100 ? 200 - i : i)]);
    std::ranges::sort(window);
    weights[static_cast<std::size_t>(t)] = 1 / window[kHalf];
  }
  std::vector<double> expected(101);
  for (std::size_t t = 0; t < 101; ++t)
    expected[t] = weights[t] * std::accumulate(weights.begin() + static_cast<std::int64_t>(t) + 1,
                                               weights.end(), 0.0);
  const double most = *std::ranges::max_element(expected);
  const RefinedSchedule refined = refine(norms, {.power = 1});
  for (std::size_t t = 0; t < 101; ++t)
    CHECK(refined.rates[t] == doctest::Approx(expected[t] / most).epsilon(1e-12));

  std::vector<double> holes = norms;
  holes.insert(holes.begin() + 50, {std::nan(""), std::numeric_limits<double>::infinity()});
  CHECK(refine(holes, {.power = 1}).rates == refined.rates);
  CHECK(refine(holes, {.power = 1}).warnings.size() == 1);
  std::vector<double> vanishing(1000, 1.0);
  for (std::size_t t = 960; t < 1000; ++t) vanishing[t] = 1e-9;
  CHECK_THROWS_WITH_AS((void)refine(vanishing, {.window = 0}), doctest::Contains("last 5 %"),
                       DataError);
  CHECK_THROWS_AS((void)refine(std::vector<double>(1000, 0.0)), DataError);
  CHECK_THROWS_AS((void)refine(std::vector<double>{1, 2}), DataError);
  CHECK_THROWS_AS((void)refine(std::vector<double>{1, -2, 1}), DataError);
  CHECK_THROWS_AS((void)refine(norms, {.power = 3}), ConfigError);
  CHECK_THROWS_AS((void)refine(norms, {.window = 1.5}), ConfigError);
}

TEST_CASE("the bound refuses steps, norms and distances that it cannot be of") {
  CHECK_THROWS_AS((void)last_iterate_bound(std::vector<double>{0, 0}, kOne), ConfigError);
  CHECK_THROWS_AS((void)last_iterate_bound(std::vector<double>{1, -1}, kOne), ConfigError);
  CHECK_THROWS_AS((void)last_iterate_bound(kOne, std::vector<double>{std::nan("")}), ConfigError);
  CHECK_THROWS_AS((void)last_iterate_bound(std::vector<double>{1, 1, 1}, std::vector<double>{1, 1}),
                  ConfigError);
  CHECK_THROWS_AS((void)last_iterate_bound(kOne, kOne, 0), ConfigError);
  CHECK_THROWS_AS((void)extend_plateau(100, 100, 0.2), ConfigError);
}
