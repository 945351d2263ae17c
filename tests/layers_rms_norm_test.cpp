#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/sums.h"
#include "layers/rms_norm.h"
#include "op_checks.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE(
    "RMS norm and its gradients are their definitions in double, within the roundings of the "
    "float32 steps") {
  for (const std::int64_t width : {1, 7, 16, 40}) {
    CAPTURE(width);
    constexpr std::int64_t rows = 70;  // more than a block of a fixed-order sum
    Bench bench;
    const RmsNorm norm = RmsNorm::create(bench.params, "norm", width);
    const Tensor w = bench.params[norm.weight] = random_tensor({width}, Key(1));
    const Tensor x = random_tensor({rows, width}, Key(2), 2.0, 1.0),
                 g = gradient_for({rows, width});
    const Op op = [&](Pass& pass, const std::vector<Var>& v) { return norm(pass, v[0]); };
    const OpResult result = run_op(bench, {x}, op);
    const auto n = static_cast<double>(width);
    std::vector<double> gw(static_cast<std::size_t>(width)), size_w(gw.size());
    for (std::int64_t i = 0; i < rows; ++i) {
      double squares = 0, along = 0, size = 0;
      for (std::int64_t j = 0; j < width; ++j)
        squares += double{x[i * width + j]} * double{x[i * width + j]} / n;
      const double slope = 1 / std::sqrt(squares + norm.epsilon);
      for (std::int64_t j = 0; j < width; ++j) {
        const double z = double{x[i * width + j]} * slope, gz = double{g[i * width + j]} * z;
        along += gz * double{w[j]} / n;
        size += std::abs(gz * double{w[j]}) / n;
        gw[static_cast<std::size_t>(j)] += gz;
        size_w[static_cast<std::size_t>(j)] += std::abs(gz);
      }
      for (std::int64_t j = 0; j < width; ++j) {
        const double z = double{x[i * width + j]} * slope, want = z * double{w[j]},
                     h = double{g[i * width + j]} * double{w[j]};
        REQUIRE(std::abs(double{result.y[i * width + j]} - want) <=
                2.01 * kUnit * std::abs(want));  // z and the product
        // Rounded: h; z and h in `along`, itself; z; their product; the difference; the slope; the
        // last product.
        const double off = std::abs(h) + std::abs(z) * 2 * size + 3 * std::abs(z * along) +
                           3 * std::abs(h - z * along);
        const double of_x = (h - z * along) * slope;
        REQUIRE(std::abs(double{result.by_input[0][i * width + j]} - of_x) <=
                kUnit * slope * off * (1 + 0x1p-20));
      }
    }
    require_elements(
        result.by_parameter[0], [&](std::int64_t j) { return gw[static_cast<std::size_t>(j)]; },
        [&](std::int64_t j) {
          return 1.01 * kUnit *
                 (size_w[static_cast<std::size_t>(j)] + std::abs(gw[static_cast<std::size_t>(j)]));
        });
    if (width > 1)
      check_gradients(bench, {random_tensor({3, width}, Key(3))}, 8,
                      op);  // alone, an element has only its sign
  }
}

TEST_CASE(
    "RMS norm takes its steps in the stated order, at every SIMD level and for any number of "
    "threads") {
  constexpr std::int64_t rows = 600, width = 37;
  Bench bench;
  const RmsNorm norm = RmsNorm::create(bench.params, "norm", width);
  const Tensor w = bench.params[norm.weight] = random_tensor({width}, Key(1));
  const Tensor x = random_tensor({rows, width}, Key(2), 3.0), g = gradient_for({rows, width});
  Tensor y = Tensor::uninitialized(x.shape()), gx = y;
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto row = [&](std::int64_t j) { return double{x[i * width + j]}; };
    const double slope =
        1 / std::sqrt(chained_sum(width, [&](std::int64_t j) { return row(j) * row(j); }) / width +
                      norm.epsilon);
    std::vector<float> z, h;
    for (std::int64_t j = 0; j < width; ++j) {
      z.push_back(static_cast<float>(row(j) * slope));
      h.push_back(g[i * width + j] * w[j]);
      y[i * width + j] = z.back() * w[j];
    }
    const auto along = static_cast<float>(chained_sum(width,
                                                      [&](std::int64_t j) {
                                                        const auto at = static_cast<std::size_t>(j);
                                                        return double{h[at]} * double{z[at]};
                                                      }) /
                                          width);
    for (std::size_t j = 0; j < h.size(); ++j)
      gx[i * width + static_cast<std::int64_t>(j)] =
          (h[j] - z[j] * along) * static_cast<float>(slope);
  }
  const Op op = [&](Pass& pass, const std::vector<Var>& v) { return norm(pass, v[0]); };
  const OpResult result = run_op(bench, {x}, op);
  CHECK(result.y == y);
  CHECK(result.by_input[0] == gx);
  check_bits(bench, {x}, op);
}

TEST_CASE("RMS norm refuses another width") {
  Bench bench;
  const RmsNorm norm = RmsNorm::create(bench.params, "norm", 4);
  Pass pass = bench.pass();
  CHECK(pass.tape.shape(norm(pass, pass.tape.constant(Tensor::zeros({0, 4})))) == Shape{0, 4});
  for (const Shape& bad : {Shape{}, Shape{2, 3}, Shape{4, 2}})
    CHECK_THROWS_AS(norm(pass, pass.tape.constant(Tensor::zeros(bad))), ShapeError);
  CHECK_THROWS_AS(RmsNorm::create(bench.params, "norm", 4), ConfigError);
}
