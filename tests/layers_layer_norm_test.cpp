#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "layers/layer_norm.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE("layer norm is its definition in double, for widths around the chains") {
  for (const std::int64_t width : {1, 2, 15, 16, 17, 100}) {
    CAPTURE(width);
    Bench bench;
    const LayerNorm norm = LayerNorm::create(bench.params, "norm", width);
    bench.params[norm.weight] = random_tensor({width}, Key(1));
    bench.params[norm.bias] = random_tensor({width}, Key(2));
    Pass pass = bench.pass();
    const Tensor x = random_tensor({2, 3, width}, Key(3), 2.0, 5.0);
    const Tensor y = pass.tape[norm(pass, pass.tape.constant(x))];
    for (std::int64_t i = 0; i < 6; ++i) {
      double mean = 0, variance = 0;
      for (std::int64_t j = 0; j < width; ++j) mean += double{x[i * width + j]} / static_cast<double>(width);
      for (std::int64_t j = 0; j < width; ++j)
        variance += std::pow(double{x[i * width + j]} - mean, 2) / static_cast<double>(width);
      for (std::int64_t j = 0; j < width; ++j) {
        const double n = (double{x[i * width + j]} - mean) / std::sqrt(variance + 1e-5), w = double{bench.params[norm.weight][j]},
                     want = n * w + double{bench.params[norm.bias][j]};
        // n, its product with w and the sum are rounded once each.
        REQUIRE(std::abs(double{y[i * width + j]} - want) <= kUnit * (2.01 * std::abs(n * w) + std::abs(want)) + 1e-14);
      }
    }
  }
}

TEST_CASE("layer norm's gradients agree with central differences") {
  Bench bench;
  const LayerNorm norm = LayerNorm::create(bench.params, "norm", 5);
  bench.params[norm.weight] = random_tensor({5}, Key(1));
  check_gradients(bench, {random_tensor({4, 5}, Key(2))}, 8,
                  [&](Pass& pass, const std::vector<Var>& x) { return norm(pass, x[0]); });
  Pass pass = bench.pass();
  CHECK_THROWS_AS(norm(pass, pass.tape.constant(Tensor::zeros({4, 6}))), ShapeError);
}
