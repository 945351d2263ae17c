#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/activations.h"
#include "layers/elementwise.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

TEST_CASE("gelu and swiglu are their definitions in double") {
  Bench bench;
  Pass pass = bench.pass();
  const Tensor x = random_tensor({50, 8}, Key(1), 3.0);
  const Tensor y = pass.tape[gelu(pass, pass.tape.constant(x))],
               gated = pass.tape[swiglu(pass, pass.tape.constant(x))];
  const double pi = std::acos(-1.0);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double v = x[i], u = std::sqrt(2 / pi) * (v + 0.044715 * v * v * v),
                 want = v * logistic(2 * u);
    // The argument's five roundings move log s by 10 units of |u| at the most, s and the product
    // have five of their own.
    REQUIRE(std::abs(double{y[i]} - want) <=
            kUnit * (10 * std::abs(u) + 6) * std::abs(want) + 1e-30);
  }
  for (std::int64_t i = 0; i < 50; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) {
      const double a = x[8 * i + j], b = x[8 * i + 4 + j], want = a * logistic(a) * b;
      REQUIRE(std::abs(double{gated[4 * i + j]} - want) <= 8 * kUnit * std::abs(want));
    }
  }
  CHECK_THROWS_AS(swiglu(pass, pass.tape.constant(Tensor::zeros({2, 3}))), ShapeError);
}

TEST_CASE("the gradients of gelu and swiglu are their definitions in double, whatever the plan") {
  Bench bench;
  Pass pass = bench.pass(PrecisionPlan::uniform(
      Format::integer(8), Format::integer(8)));  // neither multiplies matrices
  const Tensor x = random_tensor({50, 8}, Key(1), 3.0), g = random_tensor({50, 8}, Key(2)),
               h = random_tensor({50, 4}, Key(3));
  const Var of_gelu = pass.tape.variable(x), of_swiglu = pass.tape.variable(x);
  pass.tape.backward(
      add(pass, dot(pass, gelu(pass, of_gelu), g), dot(pass, swiglu(pass, of_swiglu), h)));
  const Tensor &by_gelu = pass.tape.gradient_of(of_gelu),
               &by_swiglu = pass.tape.gradient_of(of_swiglu);
  // s + l s (1 - s) with s off by `of_s` units relatively and l by `of_l`: s enters thrice, 1 - s
  // is rounded, so are the two products, the sum and the product with the gradient. Everything in
  // units of the gradient.
  const auto bound = [](double s, double l, double of_s, double of_l) {
    const double flat = std::abs(l) * s * (1 - s);
    return s * of_s + flat * (of_s + of_l + 3) + std::abs(l) * s * s * of_s +
           2 * std::abs(s + l * s * (1 - s));
  };
  const double pi = std::acos(-1.0), root = std::sqrt(2 / pi);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double v = x[i], u = root * (v + 0.044715 * v * v * v), s = logistic(2 * u),
                 l = 2 * root * v * (1 + 3 * 0.044715 * v * v);
    const double want = double{g[i]} * (s + l * s * (1 - s));
    // l: the constant of the cube has three roundings and one more as 3 c, then x^2, two products
    // and a sum; likewise 2 u in s, whose logarithm moves by as much as 2 u does.
    require_within(double{by_gelu[i]}, want,
                   kUnit * std::abs(double{g[i]}) * bound(s, l, 14 * std::abs(u) + 4, 8));
  }
  for (std::int64_t i = 0; i < 50; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) {
      const double a = x[8 * i + j], b = x[8 * i + 4 + j], s = logistic(a),
                   gb = double{h[4 * i + j]} * b;
      const double of_a = gb * (s + a * s * (1 - s)), of_b = double{h[4 * i + j]} * a * s;
      require_within(double{by_swiglu[8 * i + j]}, of_a,
                     kUnit * (std::abs(gb) * bound(s, a, 4, 0) + std::abs(of_a)));
      require_within(double{by_swiglu[8 * i + 4 + j]}, of_b,
                     6 * kUnit * std::abs(of_b));  // s, and two products
    }
  }
}

TEST_CASE(
    "activations and their gradients have their limits at the ends of the line and where squares "
    "and cubes overflow") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x;
  for (const float magnitude : {0.0f, 1e-45f, 1e-38f, 1e-20f, 0.5f, 5.0f, 10.0f, 11.0f, 50.0f,
                                88.8f, 104.0f, 1e4f, 1e13f, 1e14f, 1e19f, 1e20f, 3.4e38f, inf}) {
    x.push_back(magnitude);
    x.push_back(-magnitude);
  }
  // x s(z) and its derivative s + x z' s (1 - s): where s or 1 - s is nought, so is what it
  // multiplies.
  struct Slope {
    long double value, derivative;
  };
  const auto gated = [](long double v, long double z, long double dz) -> Slope {
    const long double e = std::exp(-std::abs(z)), s = z < 0 ? e / (1 + e) : 1 / (1 + e),
                      flat = e / ((1 + e) * (1 + e));
    return {s == 0 ? 0 : v * s, s + (flat == 0 ? 0 : v * dz * flat)};
  };
  const long double root = std::sqrt(2 / std::acos(-1.0L)), cube = 0.044715L;
  struct Case {
    const char* name;
    std::function<Var(Pass&, Var)> op;
    std::function<Slope(long double)> want;
  };
  const Case cases[] = {
      {"gelu", gelu,
       [&](long double v) {
         return gated(v, 2 * root * (v + cube * v * v * v), 2 * root * (1 + 3 * cube * v * v));
       }},
      {"sigmoid", sigmoid,
       [](long double v) -> Slope {
         const long double e = std::exp(-std::abs(v)), s = v < 0 ? e / (1 + e) : 1 / (1 + e);
         return {s, e / ((1 + e) * (1 + e))};
       }},
      {"tanh", ebb::tanh,
       [](long double v) -> Slope {
         return {std::tanh(v), 1 - std::tanh(v) * std::tanh(v)};
       }},
      {"relu", [](Pass& pass, Var in) { return relu(pass, in); },
       [](long double v) -> Slope {
         return {v > 0 ? v : 0, v > 0 ? 1.0L : 0.0L};
       }},
      {"swiglu by its gate", swiglu, [&](long double v) { return gated(v, v, 1); }}};
  for (const Case& c : cases) {
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      const bool pairs = std::string_view(c.name).starts_with("swiglu");  // each x with 1 beside it
      const auto n = static_cast<std::int64_t>(x.size()), wide = pairs ? 2 * n : n;
      Tensor in = Tensor::filled({1, wide}, 1.0f);
      std::ranges::copy(x, in.data());
      Bench bench;
      Pass pass = bench.pass();
      pass.simd = simd;
      const Var v = pass.tape.variable(in);
      const Var y = c.op(pass, v);
      const Tensor values = pass.tape[y];
      // A loss whose gradient is 1 everywhere, without the sum: infinities of both signs are among
      // the terms.
      static_cast<void>(pass.tape.backward(
          pass.tape.record(Tensor::zeros({}), {y}, [=](Tensor&&, Adjoints& grads) {
            grads.add(y, Tensor::filled({1, n}, 1.0f));
          })));
      const Tensor& slopes = pass.tape.gradient_of(v);
      for (std::int64_t i = 0; i < n; ++i) {
        CAPTURE(std::string(c.name));
        CAPTURE(to_text(simd));
        CAPTURE(in[i]);
        const Slope want = c.want(static_cast<long double>(in[i]));
        const auto near = [](float got, long double expected) {
          return static_cast<long double>(got) == expected ||
                 std::abs(static_cast<long double>(got) - expected) <=
                     1e-5L * std::abs(expected) + 1e-7L;
        };
        CHECK(near(values[i], want.value));
        CHECK(near(slopes[i], want.derivative));
        if (pairs) CHECK(near(slopes[n + i], want.value));
      }
    }
  }
}

TEST_CASE("their gradients agree with central differences") {
  Bench bench;
  check_gradients(bench, {random_tensor({6, 8}, Key(1), 2.0)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return gelu(pass, x[0]); });
  check_gradients(bench, {random_tensor({6, 8}, Key(2), 2.0)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return swiglu(pass, x[0]); });
}
