#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "layers/pool.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// Distinct values 0.1 apart in random order, so that no window is near a tie.
Tensor spread_tensor(const Shape& shape) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(shape.size()));
  std::iota(order.begin(), order.end(), -shape.size() / 2);
  shuffle_indices(Key(7), order);
  Tensor x = Tensor::uninitialized(shape);
  std::transform(order.begin(), order.end(), x.data(),
                 [](std::int64_t v) { return 0.1f * static_cast<float>(v); });
  return x;
}

struct Case {
  const char* why;
  Shape x;
  PoolConfig config;
  std::int64_t out_height, out_width;
};
const Case kCases[] = {
    {"halving", {2, 4, 6, 3}, {.window = 2, .stride = 2}, 2, 3},
    {"an odd row is left out", {1, 5, 5, 2}, {.window = 2, .stride = 2}, 2, 2},
    {"overlapping", {2, 5, 4, 1}, {.window = 3, .stride = 1}, 3, 2},
    {"overlapping and padded", {1, 5, 6, 70}, {.window = 3, .stride = 2, .pad = 1}, 3, 3},
    {"the whole image", {2, 3, 3, 2}, {.window = 3, .stride = 1}, 1, 1}};

}  // namespace

TEST_CASE("pools follow their definition: elements outside the image never count") {
  for (const Case& c : kCases) {
    CAPTURE(c.why);
    Bench bench;
    Pass pass = bench.pass();
    const Tensor x = spread_tensor(c.x);
    const Tensor largest = pass.tape[max_pool(pass, pass.tape.constant(x), c.config)];
    const Tensor mean = pass.tape[avg_pool(pass, pass.tape.constant(x), c.config)];
    const Shape shape{c.x[0], c.out_height, c.out_width, c.x[3]};
    REQUIRE(largest.shape() == shape);
    REQUIRE(mean.shape() == shape);
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      const std::int64_t ch = i % shape[3], ox = i / shape[3] % shape[2],
                         oy = i / (shape[3] * shape[2]) % shape[1],
                         b = i / (shape[3] * shape[2] * shape[1]);
      double best = -std::numeric_limits<double>::infinity(), sum = 0, count = 0;
      for (std::int64_t iy = oy * c.config.stride - c.config.pad;
           iy < oy * c.config.stride - c.config.pad + c.config.window; ++iy) {
        for (std::int64_t ix = ox * c.config.stride - c.config.pad;
             ix < ox * c.config.stride - c.config.pad + c.config.window; ++ix) {
          if (iy < 0 || ix < 0 || iy >= c.x[1] || ix >= c.x[2]) continue;
          const double v = x[((b * c.x[1] + iy) * c.x[2] + ix) * c.x[3] + ch];
          best = std::max(best, v);
          sum += v;
          count += 1;
        }
      }
      REQUIRE(double{largest[i]} == best);
      REQUIRE(std::abs(double{mean[i]} - sum / count) <=
              kUnit * std::abs(sum / count) + 1e-14);  // one rounding; the sum is double's
    }
  }
}

TEST_CASE("pools' gradients agree with central differences") {
  for (const Case& c : kCases) {
    CAPTURE(c.why);
    Bench bench;
    check_gradients(bench, {spread_tensor(c.x)}, 1, [&](Pass& pass, const std::vector<Var>& x) {
      return max_pool(pass, x[0], c.config);
    });
    check_gradients(bench, {spread_tensor(c.x)}, 1, [&](Pass& pass, const std::vector<Var>& x) {
      return avg_pool(pass, x[0], c.config);
    });
    check_gradients(bench, {spread_tensor(c.x)}, 1, [&](Pass& pass, const std::vector<Var>& x) {
      return global_avg_pool(pass, x[0]);
    });
  }
}

TEST_CASE("max_pool gives a tie's gradient to the first of equals, and a NaN is never lost") {
  Bench bench;
  Pass pass = bench.pass();
  const Var x = pass.tape.variable(Tensor::zeros({1, 2, 2, 1}));
  pass.tape.backward(dot(pass, max_pool(pass, x, {}), Tensor::filled({1, 1, 1, 1}, 1.0f)));
  CHECK(pass.tape.gradient_of(x) ==
        Tensor::from({1, 2, 2, 1}, std::vector{1.0f, 0.0f, 0.0f, 0.0f}));
  for (std::int64_t at = 0; at < 4; ++at) {
    Tensor broken = Tensor::filled({1, 2, 2, 1}, 1.0f);
    broken[at] = std::numeric_limits<float>::quiet_NaN();
    Pass second = bench.pass();
    CHECK(std::isnan(second.tape[max_pool(second, second.tape.constant(broken), {})].item()));
  }
}

TEST_CASE("pools refuse windows and images that do not fit") {
  Bench bench;
  Pass pass = bench.pass();
  const Var x = pass.tape.constant(Tensor::zeros({1, 3, 3, 1}));
  for (const PoolConfig& c : {PoolConfig{.window = 0}, PoolConfig{.window = 16},
                              PoolConfig{.stride = 0}, PoolConfig{.window = 2, .pad = 2}}) {
    CHECK_THROWS_AS(max_pool(pass, x, c), ConfigError);
    CHECK_THROWS_AS(avg_pool(pass, x, c), ConfigError);
  }
  CHECK_THROWS_AS(max_pool(pass, x, {.window = 4}), ShapeError);
  CHECK_THROWS_AS(max_pool(pass, pass.tape.constant(Tensor::zeros({3, 3})), {}), ShapeError);
  CHECK_THROWS_AS(global_avg_pool(pass, pass.tape.constant(Tensor::zeros({3, 3}))), ShapeError);
}
