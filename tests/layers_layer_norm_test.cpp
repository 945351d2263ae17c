#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "layers/layer_norm.h"
#include "tests/passes.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE("layer norm normalises each row by its own moments, in training and evaluation alike") {
  for (const std::int64_t n : {1, 5, 16, 37, 64}) {
    for (const double offset : {0.0, 100.0}) {  // far from zero the mean must not eat the variance
      Bench bench;
      const LayerNorm norm = LayerNorm::create(bench.params, "norm", n);
      bench.params[norm.weight] = random_tensor({n}, Key(1), 0.3, 1.0);
      bench.params[norm.bias] = random_tensor({n}, Key(2));
      const Tensor x = random_tensor({2, 3, n}, Key(3), 2.0, offset);
      for (const Pass::Mode mode : {Pass::Mode::train, Pass::Mode::evaluate}) {
        Pass pass = bench.pass(PrecisionPlan::fp32(), 0, mode);
        const Var vx = pass.tape.constant(x);
        const Tensor y = pass.tape[norm(pass, vx)], plain = pass.tape[layer_norm(pass, vx)];
        for (std::int64_t i = 0; i < 6; ++i) {
          double mean = 0, variance = 0;
          for (std::int64_t j = 0; j < n; ++j) mean += double{x[i * n + j]} / static_cast<double>(n);
          for (std::int64_t j = 0; j < n; ++j) variance += std::pow(double{x[i * n + j]} - mean, 2) / static_cast<double>(n);
          for (std::int64_t j = 0; j < n; ++j) {
            const double hat = (double{x[i * n + j]} - mean) / std::sqrt(variance + 1e-5), w = bench.params[norm.weight][j],
                         b = bench.params[norm.bias][j];
            // One rounding of xhat, one of the product, one of the sum; what double loses of a mean of 100 is below 1e-11.
            CHECK(std::abs(double{plain[i * n + j]} - hat) <= kUnit * std::abs(hat) + 1e-11);
            CHECK(std::abs(double{y[i * n + j]} - (hat * w + b)) <=
                  2.01 * kUnit * std::abs(hat * w) + 1.01 * kUnit * std::abs(hat * w + b) + 1e-11);
          }
        }
      }
    }
  }
}

TEST_CASE("layer norm's gradients agree with central differences") {
  Bench bench;
  const LayerNorm norm = LayerNorm::create(bench.params, "norm", 21);
  bench.params[norm.weight] = random_tensor({21}, Key(1), 0.3, 1.0);
  bench.params[norm.bias] = random_tensor({21}, Key(2));
  check_gradients(bench, {random_tensor({2, 2, 21}, Key(3), 2.0, 1.0)}, 4,
                  [&](Pass& pass, const std::vector<Var>& x) { return norm(pass, x[0]); });
  Bench bare;
  check_gradients(bare, {random_tensor({4, 21}, Key(3), 2.0, 1.0)}, 2,
                  [](Pass& pass, const std::vector<Var>& x) { return layer_norm(pass, x[0]); });
}

TEST_CASE("layer norm refuses rows of another width") {
  Bench bench;
  const LayerNorm norm = LayerNorm::create(bench.params, "norm", 3);
  CHECK_THROWS_AS(LayerNorm::create(bench.params, "none", 0), ShapeError);
  Pass pass = bench.pass();
  CHECK_THROWS_WITH_AS(norm(pass, pass.tape.constant(Tensor::zeros({2, 4}))), "[layer norm] expected input [..., 3], got [2, 4]",
                       ShapeError);
  CHECK_THROWS_AS(layer_norm(pass, pass.tape.constant(Tensor::scalar(1))), ShapeError);
}
