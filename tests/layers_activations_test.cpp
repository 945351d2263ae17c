#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "layers/activations.h"
#include "passes.h"

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

TEST_CASE("their gradients agree with central differences") {
  Bench bench;
  check_gradients(bench, {random_tensor({6, 8}, Key(1), 2.0)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return gelu(pass, x[0]); });
  check_gradients(bench, {random_tensor({6, 8}, Key(2), 2.0)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return swiglu(pass, x[0]); });
}
