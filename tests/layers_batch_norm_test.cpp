#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/batch_norm.h"
#include "layers/elementwise.h"
#include "layers/loss.h"
#include "layers/shape_ops.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// A layer whose parameters and state are not at their starting values.
BatchNorm used_norm(Bench& bench, std::int64_t channels) {
  const BatchNorm norm = BatchNorm::create(bench.params, "bn", channels);
  bench.params[norm.weight] = random_tensor({channels}, Key(1), 0.3, 1.0);
  bench.params[norm.bias] = random_tensor({channels}, Key(2));
  bench.params[norm.running_mean] = random_tensor({channels}, Key(3));
  bench.params[norm.running_var] = random_tensor({channels}, Key(4), 0.1, 1.0);
  return norm;
}

}  // namespace

TEST_CASE("batch norm normalises by the batch's own moments and moves the running ones") {
  constexpr std::int64_t channels = 5, rows = 3 * 4 * 6;
  for (const double offset : {0.0, 30.0}) {  // far from zero the mean must not eat the variance
    CAPTURE(offset);
    Bench bench;
    const BatchNorm norm = used_norm(bench, channels);
    const ParamStore before = bench.params;
    const Tensor x = random_tensor({3, 4, 6, channels}, Key(5), 2.0, offset);
    Pass pass = bench.pass();
    const Tensor y = pass.tape[norm(pass, pass.tape.constant(x))];
    pass.effects.apply_to(bench.params);
    for (std::int64_t c = 0; c < channels; ++c) {
      double mean = 0, var = 0;
      for (std::int64_t i = 0; i < rows; ++i) mean += double{x[i * channels + c]} / rows;
      for (std::int64_t i = 0; i < rows; ++i)
        var += std::pow(double{x[i * channels + c]} - mean, 2) / rows;
      const double scale = before[norm.weight][c], shift = before[norm.bias][c],
                   slope = scale / std::sqrt(var + 1e-5);
      for (std::int64_t i = 0; i < rows; ++i) {
        // Rounded: the mean (relative to itself), the difference, the slope, the product, the sum.
        const double product = slope * (double{x[i * channels + c]} - mean);
        const double bound = kUnit * (std::abs(slope * mean) + 4 * std::abs(product) +
                                      std::abs(product + shift) + 1e-6);
        REQUIRE(std::abs(double{y[i * channels + c]} - (product + shift)) <= bound);
      }
      const double mean_now = 0.9 * double{before[norm.running_mean][c]} + 0.1 * mean;
      const double var_now =
          0.9 * double{before[norm.running_var][c]} + 0.1 * var * rows / (rows - 1);
      CHECK(std::abs(double{bench.params[norm.running_mean][c]} - mean_now) <=
            1.01 * kUnit * std::abs(mean_now));
      CHECK(std::abs(double{bench.params[norm.running_var][c]} - var_now) <=
            1.01 * kUnit * var_now);
    }
  }
}

TEST_CASE(
    "batch norm's variance is that of the values, however far from zero they lie, at every SIMD "
    "level") {
  struct Case {
    const char* why;
    std::function<float(std::int64_t)> value;
  };
  const Case cases[] = {
      {"odd numbers at the end of the exact ones",
       [](std::int64_t i) { return 16777207.0f + 2.0f * static_cast<float>(i % 5); }},
      {"neighbours among the floats",
       [](std::int64_t i) {
         return std::bit_cast<float>(0x5f000000u + static_cast<unsigned>(i % 3));
       }},
      {"a first value far from the others",
       [](std::int64_t i) { return i == 0 ? 1e8f : static_cast<float>(i % 7); }},
      {"blocks far from each other",
       [](std::int64_t i) { return i < 64 ? 3.0e7f : -3.0e7f + 2.0f * static_cast<float>(i % 3); }},
      {"around zero", [](std::int64_t i) { return static_cast<float>(i % 9) - 4.0f; }},
      {"the largest floats", [](std::int64_t i) { return i % 2 == 0 ? 3.4e38f : 3.3e38f; }},
      {"the smallest ones", [](std::int64_t i) { return i % 2 == 0 ? 1e-22f : 3e-22f; }},
      {"a constant that no power of two divides", [](std::int64_t) { return 0.1f; }}};
  for (const Case& c : cases) {
    for (const std::int64_t rows : {2, 5, 63, 64, 65, 200, 1000}) {
      for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
        if (simd > best_simd()) continue;
        constexpr std::int64_t channels = 19;
        Tensor x = Tensor::uninitialized({rows, channels});
        for (std::int64_t i = 0; i < x.size(); ++i) x[i] = c.value(i / channels);
        long double mean = 0, squares = 0;
        for (std::int64_t i = 0; i < rows; ++i)
          mean += static_cast<long double>(c.value(i));  // exact
        mean /= static_cast<long double>(rows);
        for (std::int64_t i = 0; i < rows; ++i)
          squares += std::pow(static_cast<long double>(c.value(i)) - mean, 2.0L);
        const long double want = squares / static_cast<long double>(rows - 1);
        Bench bench;
        BatchNorm norm = BatchNorm::create(bench.params, "bn", channels);
        norm.momentum = 1.0;  // the running variance is the batch's
        Pass pass = bench.pass();
        pass.simd = simd;
        static_cast<void>(norm(pass, pass.tape.constant(x)));
        pass.effects.apply_to(bench.params);
        CAPTURE(std::string(c.why));
        CAPTURE(rows);
        for (std::int64_t j = 0; j < channels; ++j) {
          const auto got = static_cast<long double>(bench.params[norm.running_var][j]);
          if (want > 3.4e38L)
            REQUIRE(std::isinf(got));  // in double it was finite
          else
            REQUIRE(std::abs(got - want) <= 1e-7L * want + 0x1p-149L);
        }
      }
    }
  }
}

TEST_CASE("in evaluation batch norm uses the running moments and leaves them alone") {
  Bench bench;
  const BatchNorm norm = used_norm(bench, 3);
  const ParamStore before = bench.params;
  const Tensor x = random_tensor({1, 1, 1, 3}, Key(5));  // a single value a channel is fine here
  Pass pass = bench.pass(PrecisionPlan::fp32(), 0, Pass::Mode::evaluate);
  const Var vx = pass.tape.variable(x);
  const Var y = norm(pass, vx);
  const Tensor out = pass.tape[y];
  pass.tape.backward(dot(pass, y, Tensor::filled({1, 1, 1, 3}, 1.0f)));
  pass.effects.apply_to(bench.params);
  for (std::int64_t c = 0; c < 3; ++c) {
    const double slope =
        double{before[norm.weight][c]} / std::sqrt(double{before[norm.running_var][c]} + 1e-5);
    const double expected = (double{x[c]} - double{before[norm.running_mean][c]}) * slope +
                            double{before[norm.bias][c]};
    CHECK(std::abs(double{out[c]} - expected) <= 4 * kUnit * (std::abs(expected) + 4));
    CHECK(std::abs(double{pass.tape.gradient_of(vx)[c]} - slope) <= 2 * kUnit * std::abs(slope));
    CHECK(bench.params[norm.running_mean][c] == before[norm.running_mean][c]);
    CHECK(bench.params[norm.running_var][c] == before[norm.running_var][c]);
  }
}

TEST_CASE("batch norm's gradients agree with central differences") {
  Bench bench;
  const BatchNorm norm = used_norm(bench, 3);
  // Six roundings of an output, the mean among them; inputs up to 4 stand for outputs of up to 2,
  // so 12 units of the largest output.
  check_gradients(bench, {random_tensor({4, 2, 1, 3}, Key(6), 1.0, 0.5)}, 12,
                  [&](Pass& pass, const std::vector<Var>& x) { return norm(pass, x[0]); });
}

TEST_CASE("batch norm refuses another number of channels and statistics of a single value") {
  Bench bench;
  const BatchNorm norm = BatchNorm::create(bench.params, "bn", 3);
  Pass pass = bench.pass();
  CHECK_THROWS_AS(norm(pass, pass.tape.constant(Tensor::zeros({4, 2}))), ShapeError);
  CHECK_THROWS_AS(norm(pass, pass.tape.constant(Tensor::zeros({1, 1, 1, 3}))), ShapeError);
  CHECK_THROWS_AS(BatchNorm::create(bench.params, "bn", 3), ConfigError);
}

TEST_CASE(
    "adding and ReLU in the same pass change no bit, forward or backward, at any SIMD level") {
  const Tensor x = random_tensor({70, 3, 21}, Key(5));
  Tensor around = random_tensor({70, 3, 21}, Key(6));
  for (std::int64_t i = 3; i < around.size(); i += 21)
    around[i] = static_cast<float>(i / 21 % 3 - 1);  // see below
  std::vector<std::int32_t> labels(70);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 63);
  struct Result {
    Tensor loss, gx, g_added;
    Gradients parameters;
  };
  for (const bool with_add : {false, true}) {
    for (const bool with_relu : {false, true}) {
      const auto run = [&](bool fused, Simd simd) {
        Bench bench;
        const BatchNorm norm = used_norm(bench, 21);
        bench.params[norm.weight][3] = bench.params[norm.bias][3] =
            0.0f;  // the sums of channel 3 are -1, 0 and 1
        Pass pass = bench.pass();
        pass.simd = simd;
        const Var in = pass.tape.variable(x), added = pass.tape.variable(around);
        Var y;
        if (fused) {
          y = norm(pass, in,
                   {.add = with_add ? std::optional(added) : std::nullopt, .relu = with_relu});
        } else {
          y = norm(pass, in);
          if (with_add) y = add(pass, y, added);
          if (with_relu) y = relu(pass, y);
        }
        const Var loss = softmax_cross_entropy(pass, flatten(pass, y), labels);
        Result result{pass.tape[loss], {}, {}, {}};
        result.parameters = pass.tape.backward(loss);
        result.gx = pass.tape.gradient_of(in);
        result.g_added = pass.tape.gradient_of(added);
        return result;
      };
      const Result separate = run(false, Simd::scalar);
      for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
        if (simd > best_simd()) continue;
        const Result fused = run(true, simd);
        CAPTURE(with_add);
        CAPTURE(with_relu);
        CHECK(fused.loss == separate.loss);
        CHECK(fused.gx == separate.gx);
        CHECK(fused.g_added == separate.g_added);
        CHECK(fused.parameters == separate.parameters);
      }
    }
  }
}

TEST_CASE("a frozen batch norm trains as it is evaluated, and does not learn") {
  Bench bench;
  BatchNorm norm = used_norm(bench, 3);
  norm.frozen = true;
  const ParamStore before = bench.params;
  const Tensor x = random_tensor({1, 3}, Key(5)), r = random_tensor({1, 3}, Key(6));
  Pass training = bench.pass(), evaluation = bench.pass({}, 0, Pass::Mode::evaluate);
  const Var in = training.tape.variable(x);
  const Var y = norm(training, in, {.relu = true});
  CHECK(training.tape[y] ==
        evaluation.tape[norm(evaluation, evaluation.tape.constant(x), {.relu = true})]);
  std::vector<bool> positive;
  for (const float value : training.tape[y].values()) positive.push_back(value > 0);
  // One row is enough, and the gradient is the slope where the ReLU lets it pass.
  const Var other = training.tape.parameter(norm.weight);  // so that there is something to sweep
  const Gradients gradients = training.tape.backward(
      add(training, dot(training, y, r), dot(training, other, Tensor::zeros({3}))));
  for (std::int64_t c = 0; c < 3; ++c) {
    const double slope =
        double{before[norm.weight][c]} / std::sqrt(double{before[norm.running_var][c]} + 1e-5);
    const double want = positive[static_cast<std::size_t>(c)] ? slope * double{r[c]} : 0.0;
    CHECK(std::abs(double{training.tape.gradient_of(in)[c]} - want) <= 4 * kUnit * std::abs(want));
  }
  CHECK(largest_magnitude(gradients[static_cast<std::size_t>(norm.weight.index)]) == 0);
  CHECK(gradients[static_cast<std::size_t>(norm.bias.index)].size() == 0);
  CHECK(training.effects.averages.empty());
}
