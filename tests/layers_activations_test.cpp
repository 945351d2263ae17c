#include <doctest/doctest.h>

#include <cmath>
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
  const Tensor y = pass.tape[gelu(pass, pass.tape.constant(x))], gated = pass.tape[swiglu(pass, pass.tape.constant(x))];
  const double pi = std::acos(-1.0);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double v = x[i], u = std::sqrt(2 / pi) * (v + 0.044715 * v * v * v), want = v * logistic(2 * u);
    // The argument's five roundings move log s by 10 units of |u| at the most, s and the product have five of their own.
    REQUIRE(std::abs(double{y[i]} - want) <= kUnit * (10 * std::abs(u) + 6) * std::abs(want) + 1e-30);
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
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));  // neither multiplies matrices
  const Tensor x = random_tensor({50, 8}, Key(1), 3.0), g = random_tensor({50, 8}, Key(2)), h = random_tensor({50, 4}, Key(3));
  const Var of_gelu = pass.tape.variable(x), of_swiglu = pass.tape.variable(x);
  pass.tape.backward(add(pass, dot(pass, gelu(pass, of_gelu), g), dot(pass, swiglu(pass, of_swiglu), h)));
  const Tensor &by_gelu = pass.tape.gradient_of(of_gelu), &by_swiglu = pass.tape.gradient_of(of_swiglu);
  // s + l s (1 - s) with s off by `of_s` units relatively and l by `of_l`: s enters thrice, 1 - s is rounded, so are the two
  // products, the sum and the product with the gradient. Everything in units of the gradient.
  const auto bound = [](double s, double l, double of_s, double of_l) {
    const double flat = std::abs(l) * s * (1 - s);
    return s * of_s + flat * (of_s + of_l + 3) + std::abs(l) * s * s * of_s + 2 * std::abs(s + l * s * (1 - s));
  };
  const double pi = std::acos(-1.0), root = std::sqrt(2 / pi);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double v = x[i], u = root * (v + 0.044715 * v * v * v), s = logistic(2 * u),
                 l = 2 * root * v * (1 + 3 * 0.044715 * v * v);
    const double want = double{g[i]} * (s + l * s * (1 - s));
    // l: the constant of the cube has three roundings and one more as 3 c, then x^2, two products and a sum; likewise 2 u in s,
    // whose logarithm moves by as much as 2 u does.
    require_within(double{by_gelu[i]}, want, kUnit * std::abs(double{g[i]}) * bound(s, l, 14 * std::abs(u) + 4, 8));
  }
  for (std::int64_t i = 0; i < 50; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) {
      const double a = x[8 * i + j], b = x[8 * i + 4 + j], s = logistic(a), gb = double{h[4 * i + j]} * b;
      const double of_a = gb * (s + a * s * (1 - s)), of_b = double{h[4 * i + j]} * a * s;
      require_within(double{by_swiglu[8 * i + j]}, of_a, kUnit * (std::abs(gb) * bound(s, a, 4, 0) + std::abs(of_a)));
      require_within(double{by_swiglu[8 * i + 4 + j]}, of_b, 6 * kUnit * std::abs(of_b));  // s, and two products
    }
  }
}

TEST_CASE("tanh and its gradient are their definitions in double") {
  Bench bench;
  Pass pass = bench.pass();
  const Tensor x = random_tensor({50, 8}, Key(1), 2.0), g = random_tensor({50, 8}, Key(2));
  const Var in = pass.tape.variable(x);
  const Var out = tanh_activation(pass, in);
  const Tensor y = pass.tape[out];
  static_cast<void>(pass.tape.backward(dot(pass, out, g)));
  const Tensor& gx = pass.tape.gradient_of(in);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double t = std::tanh(double{x[i]}), slope = 1 - t * t;
    REQUIRE(std::abs(double{y[i]} - t) <= 4 * kUnit * std::abs(t));  // layers/functions.h
    // t^2 is off by twice 4 units and its own rounding, then the difference and the product are rounded.
    require_within(double{gx[i]}, double{g[i]} * slope, kUnit * std::abs(double{g[i]}) * (9 * t * t + 2 * slope));
  }
}

TEST_CASE("their gradients agree with central differences") {
  Bench bench;
  check_gradients(bench, {random_tensor({6, 8}, Key(3), 1.0)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return tanh_activation(pass, x[0]); });
  check_gradients(bench, {random_tensor({6, 8}, Key(1), 2.0)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return gelu(pass, x[0]); });
  check_gradients(bench, {random_tensor({6, 8}, Key(2), 2.0)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return swiglu(pass, x[0]); });
}
