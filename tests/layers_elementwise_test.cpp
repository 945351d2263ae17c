#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/sums.h"
#include "layers/elementwise.h"
#include "op_checks.h"

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

namespace {

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double zero(double) { return 0.0; }

/// A function of one value by its definition in double. In units of 2^-24, the value is off by
/// `units` of itself and the derivative by slope_units(x), absolutely; the product with the
/// incoming gradient is in both.
struct Function {
  std::string name;
  std::function<Var(Pass&, Var)> op;
  std::function<double(double)> value, slope;
  double units;
  std::function<double(double)> slope_units;
  bool positive = false;  ///< defined for positive numbers
};

std::vector<Function> functions() {
  const auto tanh_slope = [](double v) { return 1 - std::tanh(v) * std::tanh(v); };
  return {
      {"relu", relu, [](double v) { return std::max(v, 0.0); },
       [](double v) { return v > 0 ? 1.0 : 0.0; }, 0, zero},
      {"leaky_relu", [](Pass& pass, Var x) { return leaky_relu(pass, x, 0.25f); },
       [](double v) { return v > 0 ? v : v / 4; }, [](double v) { return v > 0 ? 1.0 : 0.25; }, 0,
       zero},
      // y is within 4 units, layers/functions.h; 1 - y rounds what is off by that, and two products
      // follow.
      {"sigmoid", sigmoid, logistic, [](double v) { return logistic(v) * logistic(-v); }, 4,
       [](double v) { return 7 * logistic(v) * logistic(-v) + 4 * logistic(v) * logistic(v); }},
      {"tanh", ebb::tanh, [](double v) { return std::tanh(v); }, tanh_slope, 4,
       [=](double v) { return 9 * std::tanh(v) * std::tanh(v) + 2 * tanh_slope(v); }},
      {"exp", ebb::exp, [](double v) { return std::exp(v); }, [](double v) { return std::exp(v); },
       2, [](double v) { return 3 * std::exp(v); }},
      {"log", ebb::log, [](double v) { return std::log(v); }, [](double v) { return 1 / v; }, 1,
       [](double v) { return 1 / v; }, true},
      {"sqrt", ebb::sqrt, [](double v) { return std::sqrt(v); },
       [](double v) { return 0.5 / std::sqrt(v); }, 1, [](double v) { return 1 / std::sqrt(v); },
       true},
      {"abs", ebb::abs, [](double v) { return std::abs(v); },
       [](double v) { return v < 0 ? -1.0 : 1.0; }, 0, zero},
      {"clamp", [](Pass& pass, Var x) { return clamp(pass, x, -0.5f, 1.0f); },
       [](double v) { return std::clamp(v, -0.5, 1.0); },
       [](double v) { return v < -0.5 || v > 1 ? 0.0 : 1.0; }, 0, zero},
      {"scale", [](Pass& pass, Var x) { return scale(pass, x, -3.0f); },
       [](double v) { return -3 * v; }, [](double) { return -3.0; }, 1, [](double) { return 3.0; }},
  };
}

/// Away from the kinks at 0, -0.5 and 1.
Tensor inputs_of(const Function& f, const Shape& shape) {
  Tensor x = random_tensor(shape, Key(1), 1.5);
  for (float& v : x.values()) {
    if (f.positive) v = std::abs(v) + 0.1f;
    for (const float kink : {0.0f, -0.5f, 1.0f}) {
      if (std::abs(v - kink) < 0.02f) v = kink + 0.02f;
    }
  }
  return x;
}

}  // namespace

TEST_CASE(
    "functions of one value and their gradients are their definitions in double, and keep the "
    "shape") {
  for (const Function& f : functions()) {
    CAPTURE(f.name);
    const Op op = [&](Pass& pass, const std::vector<Var>& x) { return f.op(pass, x[0]); };
    for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{7, 5, 9}}) {
      Bench bench;
      const Tensor x = inputs_of(f, shape), g = gradient_for(shape);
      const OpResult result = run_op(bench, {x}, op);
      CHECK(result.y.shape() == shape);
      require_elements(
          result.y, [&](std::int64_t i) { return f.value(double{x[i]}); },
          [&](std::int64_t i) { return kUnit * f.units * std::abs(f.value(double{x[i]})); });
      require_elements(
          result.by_input[0], [&](std::int64_t i) { return double{g[i]} * f.slope(double{x[i]}); },
          [&](std::int64_t i) {
            return kUnit * std::abs(double{g[i]}) * f.slope_units(double{x[i]});
          });
    }
    Bench bench;
    check_gradients(bench, {inputs_of(f, {4, 6})}, 12, op);
    check_bits(bench, {inputs_of(f, {200, 170})}, op);
  }
}

TEST_CASE("a NaN passes through every function, in both directions") {
  const Tensor nan = Tensor::from({1}, std::array{std::numeric_limits<float>::quiet_NaN()});
  for (const Function& f : functions()) {
    CAPTURE(f.name);
    Bench bench;
    Pass pass = bench.pass();
    CHECK(std::isnan(pass.tape[f.op(pass, pass.tape.constant(nan))][0]));
    const Var x = pass.tape.variable(Tensor::filled({1}, 0.75f));
    const Var y = f.op(pass, x);
    pass.tape.backward(pass.tape.record(
        Tensor::scalar(0), {y}, [&](const Tensor&, Adjoints& grads) { grads.add(y, nan); }));
    CHECK(std::isnan(pass.tape.gradient_of(x)[0]));
  }
}

TEST_CASE("at the kinks gradients are those that are stated") {
  struct Case {
    const char* why;
    std::function<Var(Pass&, Var)> op;
    float x, slope;
  };
  const Case cases[] = {{"relu", relu, 0.0f, 0.0f},
                        {"leaky_relu has that of its negative side",
                         [](Pass& p, Var x) { return leaky_relu(p, x); }, 0.0f, 0.01f},
                        {"abs", ebb::abs, -0.0f, 0.0f},
                        {"clamp passes at its lower end",
                         [](Pass& p, Var x) { return clamp(p, x, -1.0f, 2.0f); }, -1.0f, 1.0f},
                        {"clamp passes at its upper end",
                         [](Pass& p, Var x) { return clamp(p, x, -1.0f, 2.0f); }, 2.0f, 1.0f},
                        {"sqrt", ebb::sqrt, 0.0f, std::numeric_limits<float>::infinity()},
                        {"log", ebb::log, 0.0f, std::numeric_limits<float>::infinity()}};
  for (const Case& c : cases) {
    CAPTURE(std::string(c.why));
    Bench bench;
    Pass pass = bench.pass();
    const Var x = pass.tape.variable(Tensor::scalar(c.x));
    pass.tape.backward(c.op(pass, x));
    CHECK(pass.tape.gradient_of(x).item() == c.slope);
  }
  Bench bench;
  Pass pass = bench.pass();
  for (const float bad : {1.5f, std::nanf("")})
    CHECK_THROWS_AS(clamp(pass, pass.tape.constant(Tensor::scalar(0)), bad, 1.0f), ConfigError);
}

TEST_CASE(
    "add, sub and mul broadcast the second value over leading axes, and sum its gradient in "
    "double, rounded once") {
  struct Arithmetic {
    const char* name;
    Var (*op)(Pass&, Var, Var);
    float (*value)(float, float);
    float (*by_x)(float, float);  ///< the derivative by the first value
    float (*by_y)(float, float);
  };
  const Arithmetic all[] = {{"add", add, [](float a, float b) { return a + b; },
                             [](float, float) { return 1.0f; }, [](float, float) { return 1.0f; }},
                            {"sub", sub, [](float a, float b) { return a - b; },
                             [](float, float) { return 1.0f; }, [](float, float) { return -1.0f; }},
                            {"mul", mul, [](float a, float b) { return a * b; },
                             [](float, float b) { return b; }, [](float a, float) { return a; }}};
  struct Shapes {
    const char* why;
    Shape x, y;
  };
  const Shapes shapes[] = {{"one shape", {5, 3}, {5, 3}},
                           {"a vector", {2, 70, 5}, {5}},
                           {"a matrix", {130, 3, 4}, {3, 4}},
                           {"a scalar", {9, 17}, {}},
                           {"two scalars", {}, {}},
                           {"one element", {4, 1}, {1}},
                           {"an empty batch", {0, 3}, {3}},
                           {"no elements", {2, 0}, {0}},
                           {"more than a grain", {300, 7, 11}, {7, 11}}};
  for (const Arithmetic& f : all) {
    CAPTURE(std::string(f.name));
    const Op op = [&](Pass& pass, const std::vector<Var>& v) { return f.op(pass, v[0], v[1]); };
    for (const Shapes& s : shapes) {
      CAPTURE(std::string(s.why));
      Bench bench;
      const Tensor x = random_tensor(s.x, Key(1)), y = random_tensor(s.y, Key(2)),
                   g = gradient_for(s.x);
      const OpResult result = run_op(bench, {x, y}, op);
      CHECK(result.y.shape() == s.x);
      std::vector<double> sums(static_cast<std::size_t>(y.size())), sizes(sums.size());
      for (std::int64_t i = 0; i < x.size(); ++i) {
        const std::int64_t j = i % y.size();
        REQUIRE(result.y[i] == f.value(x[i], y[j]));
        REQUIRE(result.by_input[0][i] == g[i] * f.by_x(x[i], y[j]));
        const double term = double{g[i]} * double{f.by_y(x[i], y[j])};
        sums[static_cast<std::size_t>(j)] += term;
        sizes[static_cast<std::size_t>(j)] += std::abs(term);
      }
      require_elements(
          result.by_input[1], [&](std::int64_t j) { return sums[static_cast<std::size_t>(j)]; },
          [&](std::int64_t j) {
            const auto at = static_cast<std::size_t>(j);
            return kUnit * std::abs(sums[at]) +
                   2 * 0x1p-53 * static_cast<double>(x.size()) * sizes[at];
          });
    }
    Bench bench;
    const Tensor x = random_tensor({3, 2, 4}, Key(3)), y = random_tensor({2, 4}, Key(4));
    check_gradients(bench, {x, y}, 1, op);
    check_gradients(bench, {y}, 2,
                    [&](Pass& pass, const std::vector<Var>& v) { return f.op(pass, v[0], v[0]); });
    check_bits(bench, {random_tensor({900, 4, 5}, Key(5)), random_tensor({4, 5}, Key(6))}, op);
    Pass pass = bench.pass();
    const auto zeros = [&](const Shape& shape) { return pass.tape.constant(Tensor::zeros(shape)); };
    for (const Shapes& bad : {Shapes{"a leading axis", {3, 2}, {3}},
                              {"an axis too many", {2}, {3, 2}},
                              {"one of an axis", {3, 2}, {1, 2}},
                              {"another extent", {2}, {3}}}) {
      CAPTURE(std::string(bad.why));
      CHECK_THROWS_AS(f.op(pass, zeros(bad.x), zeros(bad.y)), ShapeError);
    }
  }
}

TEST_CASE("a broadcast gradient has the order of the fixed-order sums, bit for bit") {
  Bench bench;
  const Tensor x = random_tensor({200, 3, 2}, Key(1), 1e3), y = random_tensor({3, 2}, Key(2)),
               g = gradient_for(x.shape());
  const ConstMatrix by_place{x.data(), 200, 6, 6}, gradient{g.data(), 200, 6, 6};
  CHECK(run_op(bench, {x, y}, [](Pass& p, const std::vector<Var>& v) {
          return add(p, v[0], v[1]);
        }).by_input[1] == rounded(column_sums(gradient)).reshaped({3, 2}));
  CHECK(run_op(bench, {x, y}, [](Pass& p, const std::vector<Var>& v) {
          return mul(p, v[0], v[1]);
        }).by_input[1] == rounded(column_sums_and_dots(gradient, by_place).dot).reshaped({3, 2}));
}

TEST_CASE(
    "dropout zeroes the stated share, scales the rest, repeats itself by key, and is the identity "
    "in evaluation") {
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
    CHECK(std::abs(static_cast<double>(zeros) - n * p) <=
          5 * std::sqrt(n * p * (1 - p)));  // five standard deviations
    CHECK(again.tape[dropout(again, again.tape.constant(ones), p, "head")] == out);
    if (p > 0) {
      CHECK(later.tape[dropout(later, later.tape.constant(ones), p, "head")] != out);
      CHECK(again.tape[dropout(again, again.tape.constant(ones), p, "tail")] != out);
      CHECK(again.tape[dropout(again, again.tape.constant(ones), p, "head")] !=
            out);  // its second use
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

TEST_CASE(
    "dropout keeps element i iff its word of Philox is at least 2^32 p, in both directions, "
    "whatever the plan") {
  constexpr std::int64_t n = 1003;  // no multiple of a block
  for (const auto& [p, simd] : {std::pair{0.1, Simd::scalar},
                                {0.25, Simd::avx2},
                                {0.6, Simd::avx512},
                                {0x1p-32, Simd::avx512}}) {
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
      const auto block =
          philox4x32({static_cast<std::uint32_t>(i / 4), 0, 0, 0},
                     {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
      const bool kept =
          static_cast<double>(block[static_cast<std::size_t>(i % 4)]) >= std::nearbyint(p * 0x1p32);
      REQUIRE(out[i] == (kept ? input[i] * scale : 0.0f));
      REQUIRE(pass.tape.gradient_of(x)[i] == (kept ? g[i] * scale : 0.0f));
    }
  }
}
