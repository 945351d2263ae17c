#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "layers/elementwise.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE("relu keeps the positive, lets a NaN through, and has gradient 0 at 0") {
  Bench bench;
  Pass pass = bench.pass();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Var x = pass.tape.variable(Tensor::from({5}, std::array{-1.0f, -0.0f, 0.0f, 2.5f, nan}));
  const Var y = relu(pass, x);
  const Tensor out = pass.tape[y];
  for (std::int64_t i = 0; i < 3; ++i) CHECK((out[i] == 0.0f && !std::signbit(out[i])));
  CHECK(out[3] == 2.5f);
  CHECK(std::isnan(out[4]));
  pass.tape.backward(dot(pass, y, Tensor::filled({5}, 3.0f)));
  const Tensor& gx = pass.tape.gradient_of(x);
  for (std::int64_t i = 0; i < 5; ++i) CHECK(gx[i] == (i < 3 ? 0.0f : 3.0f));
}

TEST_CASE("relu, add and flatten agree with central differences away from the kink") {
  Bench bench;
  Tensor x = random_tensor({2, 3, 2}, Key(1));
  for (float& v : x.values()) v += v < 0 ? -0.1f : 0.1f;
  const Tensor y = random_tensor({2, 3, 2}, Key(2));
  check_gradients(bench, {x}, 1, [](Pass& pass, const std::vector<Var>& v) { return relu(pass, v[0]); });
  check_gradients(bench, {x, y}, 1, [](Pass& pass, const std::vector<Var>& v) { return add(pass, v[0], v[1]); });
  check_gradients(bench, {x}, 1, [](Pass& pass, const std::vector<Var>& v) { return add(pass, v[0], v[0]); });
  check_gradients(bench, {x, y}, 2,
                  [](Pass& pass, const std::vector<Var>& v) { return flatten(pass, relu(pass, add(pass, v[0], v[0]))); });
}

TEST_CASE("flatten keeps the batch axis, even of an empty batch") {
  Bench bench;
  Pass pass = bench.pass();
  CHECK(pass.tape.shape(flatten(pass, pass.tape.constant(Tensor::zeros({4, 2, 3, 5})))) == Shape{4, 30});
  CHECK(pass.tape.shape(flatten(pass, pass.tape.constant(Tensor::zeros({0, 2, 3})))) == Shape{0, 6});
  CHECK_THROWS_AS(flatten(pass, pass.tape.constant(Tensor::scalar(1.0f))), ShapeError);
  CHECK_THROWS_AS(add(pass, pass.tape.constant(Tensor::zeros({2})), pass.tape.constant(Tensor::zeros({3}))), ShapeError);
}

TEST_CASE("dropout zeroes the stated share, scales the rest, repeats itself by key, and is the identity in evaluation") {
  constexpr std::int64_t n = 100001;
  Bench bench;
  for (const double p : {0.0, 0.2, 0.9}) {
    CAPTURE(p);
    Pass pass = bench.pass(PrecisionPlan::fp32(), 1), again = bench.pass(PrecisionPlan::fp32(), 1),
         later = bench.pass(PrecisionPlan::fp32(), 2);
    const Tensor ones = Tensor::filled({n}, 1.0f);
    const Var x = pass.tape.variable(ones);
    const Var y = dropout(pass, x, p, "head");
    const Tensor out = pass.tape[y];
    const auto kept = static_cast<float>(1.0 / (1.0 - p));
    std::int64_t zeros = 0;
    for (const float v : out.values()) {
      REQUIRE((v == 0.0f || v == kept));
      zeros += v == 0.0f ? 1 : 0;
    }
    CHECK(std::abs(static_cast<double>(zeros) - n * p) <= 5 * std::sqrt(n * p * (1 - p)));  // five standard deviations
    CHECK(again.tape[dropout(again, again.tape.constant(ones), p, "head")] == out);
    if (p > 0) {
      CHECK(later.tape[dropout(later, later.tape.constant(ones), p, "head")] != out);
      CHECK(again.tape[dropout(again, again.tape.constant(ones), p, "tail")] != out);
      CHECK(again.tape[dropout(again, again.tape.constant(ones), p, "head")] != out);  // its second use
    }
    pass.tape.backward(dot(pass, y, ones));
    CHECK(pass.tape.gradient_of(x) == out);  // the gradient of ones through the same mask
    Pass test = bench.pass(PrecisionPlan::fp32(), 1, Pass::Mode::evaluate);
    const Var unchanged = test.tape.constant(ones);
    CHECK(dropout(test, unchanged, p, "head") == unchanged);
  }
  Pass pass = bench.pass();
  for (const double p : {-0.1, 1.0, std::nan("")})
    CHECK_THROWS_AS(dropout(pass, pass.tape.constant(Tensor::zeros({2})), p, "x"), ConfigError);
}

TEST_CASE("dropout keeps element i iff its word of Philox is at least 2^32 p, in both directions, whatever the plan") {
  constexpr std::int64_t n = 1003;  // no multiple of a block
  for (const auto& [p, simd] : {std::pair{0.1, Simd::scalar}, {0.25, Simd::avx2}, {0.6, Simd::avx512}, {0x1p-32, Simd::avx512}}) {
    Bench bench;
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)), 7);
    pass.simd = std::min(simd, best_simd());
    const Tensor input = random_tensor({n}, Key(1)), g = random_tensor({n}, Key(2));
    const Var x = pass.tape.variable(input);
    const Var y = dropout(pass, x, p, "head");
    const Tensor out = pass.tape[y];
    pass.tape.backward(dot(pass, y, g));
    const std::uint64_t key = pass.key.fold("head").fold("dropout").value();
    const auto scale = static_cast<float>(1 / (1 - p));
    for (std::int64_t i = 0; i < n; ++i) {
      const auto block = philox4x32({static_cast<std::uint32_t>(i / 4), 0, 0, 0},
                                    {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
      const bool kept = static_cast<double>(block[static_cast<std::size_t>(i % 4)]) >= std::nearbyint(p * 0x1p32);
      REQUIRE(out[i] == (kept ? input[i] * scale : 0.0f));
      REQUIRE(pass.tape.gradient_of(x)[i] == (kept ? g[i] * scale : 0.0f));
    }
  }
}
