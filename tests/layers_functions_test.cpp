#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/key.h"
#include "core/math.h"
#include "core/simd.h"
#include "core/sums.h"
#include "layers/functions.h"

using namespace ebb;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Floats from the whole line, and the neighbourhood of the ends and of zero.
std::vector<float> sample() {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 99'991) {
    const auto word = static_cast<std::uint32_t>(bits);
    float value = 0;
    std::memcpy(&value, &word, sizeof value);
    if (!std::isnan(value)) x.push_back(value);
  }
  for (std::uint64_t i = 0; i < 20'000; ++i)
    x.push_back(static_cast<float>(180.0 * Key(1).uniform(i) - 90.0));
  for (std::uint64_t i = 0; i < 20'000; ++i)
    x.push_back(static_cast<float>(4.0 * Key(2).uniform(i) - 2.0));
  for (const float edge :
       {0.0f, -0.0f, 0.625f, 88.722f, 88.723f, 88.73f, -86.89f, -86.91f, kInf, -kInf})
    x.push_back(edge);
  return x;
}

using Rows = void (*)(const float*, std::int64_t, float*, Simd);
void exp_plain(const float* x, std::int64_t n, float* out, Simd simd) {
  exp_rows(x, n, 0.0f, out, simd);
}

}  // namespace

TEST_CASE("exp, logistic function and tanh are within their bounds of libm in double") {
  const std::vector<float> x = sample();
  std::vector<float> y(x.size());
  const auto n = static_cast<std::int64_t>(x.size());
  exp_rows(x.data(), n, 0.0f, y.data(), Simd::scalar);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(double{x[i]});
    CAPTURE(x[i]);
    if (x[i] < -86.9f) {
      REQUIRE(y[i] == 0.0f);
    } else if (x[i] > 88.72283f) {
      REQUIRE(y[i] == kInf);
    } else {
      REQUIRE(std::abs(double{y[i]} - want) <= 2 * 0x1p-24 * want);
    }
  }
  sigmoid_rows(x.data(), n, y.data(), Simd::scalar);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(x[i]);
    const double want = 1.0 / (1.0 + std::exp(-double{x[i]}));
    REQUIRE(std::abs(double{y[i]} - want) <= 4 * 0x1p-24 * want + 0x1p-126);
  }
  tanh_rows(x.data(), n, y.data(), Simd::scalar);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(x[i]);
    const double want = std::tanh(double{x[i]});
    REQUIRE(std::abs(double{y[i]} - want) <= 4 * 0x1p-24 * std::abs(want));
  }
}

TEST_CASE("exp subtracts its shift in float32, rounding once, before anything else") {
  const std::vector<float> x = sample();
  std::vector<float> y(x.size()), apart(x.size()), want(x.size());
  const auto n = static_cast<std::int64_t>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) apart[i] = x[i] - 3.7f;
  exp_rows(apart.data(), n, 0.0f, want.data(), Simd::scalar);
  exp_rows(x.data(), n, 3.7f, y.data(), Simd::scalar);
  CHECK(y == want);
}

TEST_CASE(
    "exp in double has the bits of math::exp, near zero, across its range and beyond what the "
    "vectors take") {
  std::vector<float> x;
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    x.push_back(static_cast<float>(1390.0 * Key(3).uniform(i) - 695.0));
    x.push_back(static_cast<float>(2.0 * Key(4).uniform(i) - 1.0));
  }
  for (const bool far : {false, true}) {
    if (far)
      x.insert(x.end(), {-720.0f, -750.0f, 705.0f, 720.0f, kInf, -kInf,
                         std::numeric_limits<float>::quiet_NaN()});
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      std::vector<double> y(x.size());
      exp_rows(x.data(), static_cast<std::int64_t>(x.size()), 0.25, y.data(), simd);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double want = math::exp(double{x[i]} - 0.25);
        REQUIRE((y[i] == want || (std::isnan(y[i]) && std::isnan(want))));
      }
    }
  }
}

TEST_CASE("every instruction set gives the same bits, at every length and in place") {
  const std::vector<float> x = sample();
  for (const Rows rows : {Rows(exp_plain), Rows(sigmoid_rows), Rows(tanh_rows)}) {
    std::vector<float> want(x.size());
    rows(x.data(), static_cast<std::int64_t>(x.size()), want.data(), Simd::scalar);
    for (const Simd simd : {Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{17},
                                  std::size_t{33}, x.size()}) {
        std::vector<float> got(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n));
        rows(got.data(), static_cast<std::int64_t>(n), got.data(), simd);
        REQUIRE((n == 0 || std::memcmp(got.data(), want.data(), n * sizeof(float)) == 0));
      }
    }
  }
  float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Rows rows : {Rows(exp_plain), Rows(sigmoid_rows), Rows(tanh_rows)}) {
    float y = 0;
    rows(&nan, 1, &y, Simd::scalar);
    CHECK(std::isnan(y));
  }
}

TEST_CASE(
    "gated rows and their gradients have the same bits on every instruction set, and are what "
    "their formulas say") {
  const std::vector<float> x = sample();
  constexpr float slope = 1.5957691f, cube = 0.0713548f;
  const auto size = static_cast<std::int64_t>(x.size());
  std::vector<float> gate(x.size()), y(x.size()), g(x.size(), 0.75f), z(x.size());
  gated_rows(x.data(), size, slope, cube, gate.data(), y.data(), Simd::scalar);
  gated_gradient_rows(x.data(), gate.data(), size, slope, cube, g.data(), Simd::scalar);
  for (std::size_t i = 0; i < x.size(); ++i) z[i] = x[i] * (slope + cube * (x[i] * x[i]));
  sigmoid_rows(z.data(), size, z.data(), Simd::scalar);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] != x[i]) continue;
    REQUIRE(gate[i] == z[i]);
    const float product = z[i] == 0.0f ? 0.0f : x[i] * z[i],
                along = x[i] * (slope + 3.0f * cube * (x[i] * x[i]));
    const float flat = z[i] * (1.0f - z[i]);
    REQUIRE(y[i] == product);  // never NaN, nor is the derivative
    REQUIRE(g[i] == 0.75f * (z[i] + (flat == 0.0f ? 0.0f : flat * along)));
  }
  for (const Simd simd : {Simd::avx2, Simd::avx512}) {
    if (simd > best_simd()) continue;
    for (const std::size_t n : {std::size_t{1}, std::size_t{15}, std::size_t{17}, x.size()}) {
      std::vector<float> gate_there(n), y_there(n), g_there(n, 0.75f);
      gated_rows(x.data(), static_cast<std::int64_t>(n), slope, cube, gate_there.data(),
                 y_there.data(), simd);
      gated_gradient_rows(x.data(), gate_there.data(), static_cast<std::int64_t>(n), slope, cube,
                          g_there.data(), simd);
      for (const auto& [got, want] :
           {std::pair(&gate_there, &gate), {&y_there, &y}, {&g_there, &g}})
        REQUIRE(std::memcmp(got->data(), want->data(), n * sizeof(float)) == 0);
    }
  }
}

TEST_CASE(
    "sums of rows are chained on every instruction set, bit for bit in double, and softmax's "
    "gradient subtracts one of them") {
  for (std::int64_t n = 1; n < 70; ++n) {
    std::vector<float> p, g, expected;
    for (std::int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<std::uint64_t>(j);
      p.push_back(static_cast<float>(Key(3).uniform(at)));
      g.push_back(static_cast<float>(
          std::ldexp(Key(4).normal(at), static_cast<int>(j % 40) - 20)));  // so that order shows
    }
    const auto of = [](const std::vector<float>& v, std::int64_t j) {
      return double{v[static_cast<std::size_t>(j)]};
    };
    const double sum = chained_sum(n, [&](std::int64_t j) { return of(g, j); });
    const auto mean =
        static_cast<float>(chained_sum(n, [&](std::int64_t j) { return of(g, j) * of(p, j); }));
    for (std::size_t j = 0; j < p.size(); ++j) expected.push_back(p[j] * (g[j] - mean) * 0.3f);
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      CAPTURE(n);
      CAPTURE(static_cast<int>(simd));
      CHECK(sum_row(g.data(), n, simd) == sum);
      std::vector<float> gradient = g;
      softmax_gradient_row(p.data(), n, 0.3f, gradient.data(), simd);
      CHECK(gradient == expected);
    }
  }
}
