#include <doctest/doctest.h>

#include <vector>

#include "core/error.h"
#include "layers/upsample.h"
#include "op_checks.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE(
    "upsampling repeats every pixel as a square, whose gradients it sums in row order in double, "
    "rounded once") {
  for (const std::int64_t factor : {1, 2, 3}) {
    CAPTURE(factor);
    Bench bench;
    const std::int64_t batch = 2, height = 3, width = 4, channels = 5;
    const Tensor x = random_tensor({batch, height, width, channels}, Key(1));
    const Op op = [=](Pass& pass, const std::vector<Var>& v) {
      return upsample_nearest(pass, v[0], factor);
    };
    const OpResult result = run_op(bench, {x}, op);
    REQUIRE(result.y.shape() == Shape{batch, factor * height, factor * width, channels});
    const Tensor g = gradient_for(result.y.shape());
    std::vector<double> sums(static_cast<std::size_t>(x.size()));
    for (std::int64_t i = 0; i < g.size(); ++i) {
      const std::int64_t c = i % channels, col = i / channels % (factor * width),
                         row = i / (channels * factor * width);
      const std::int64_t from = (row / factor * width + col / factor) * channels +
                                c;  // rows of all images lie one after the other
      REQUIRE(result.y[i] == x[from]);
      sums[static_cast<std::size_t>(from)] += double{g[i]};
    }
    for (std::int64_t i = 0; i < x.size(); ++i)
      REQUIRE(result.by_input[0][i] == static_cast<float>(sums[static_cast<std::size_t>(i)]));
    check_gradients(bench, {random_tensor({1, 2, 3, 2}, Key(2))}, 1, op);
    check_bits(bench, {random_tensor({3, 20, 20, 30}, Key(3))}, op);
  }
}

TEST_CASE("upsampling by two is the default, and refuses what is no image or no factor") {
  Bench bench;
  Pass pass = bench.pass();
  CHECK(pass.tape.shape(upsample_nearest(pass, pass.tape.constant(Tensor::zeros({1, 2, 3, 4})))) ==
        Shape{1, 4, 6, 4});
  CHECK(pass.tape.shape(upsample_nearest(pass, pass.tape.constant(Tensor::zeros({0, 2, 3, 4})))) ==
        Shape{0, 4, 6, 4});
  CHECK_THROWS_AS(upsample_nearest(pass, pass.tape.constant(Tensor::zeros({2, 3, 4}))), ShapeError);
  for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 62})
    CHECK_THROWS_AS(upsample_nearest(pass, pass.tape.constant(Tensor::zeros({1, 2, 3, 4})), bad),
                    ConfigError);
}
