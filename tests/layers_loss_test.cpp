#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "layers/loss.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE("softmax cross-entropy is the mean of -log softmax, for extreme logits too") {
  struct Case {
    const char* why;
    std::vector<float> logits;  // [batch, 3]
    std::vector<std::int32_t> labels;
  };
  const Case cases[] = {{"equal logits", {0, 0, 0}, {1}},
                        {"two rows", {1, 2, 3, -1, 0.5f, 0.25f}, {0, 2}},
                        {"huge logits do not overflow", {1000, 999, -1000, -5000, -5000, -5001}, {1, 2}},
                        {"a certain answer costs next to nothing", {50, 0, 0}, {0}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const auto batch = static_cast<std::int64_t>(c.labels.size());
    Bench bench;
    Pass pass = bench.pass();
    const Var z = pass.tape.variable(Tensor::from({batch, 3}, c.logits));
    const Var loss = softmax_cross_entropy(pass, z, c.labels);
    const float got = pass.tape[loss].item();
    double expected = 0;
    std::vector<long double> slopes;
    for (std::size_t i = 0; i < c.labels.size(); ++i) {
      const std::array<long double, 3> row{c.logits[3 * i], c.logits[3 * i + 1], c.logits[3 * i + 2]};
      const long double top = std::max({row[0], row[1], row[2]});
      const long double sum = std::exp(row[0] - top) + std::exp(row[1] - top) + std::exp(row[2] - top);
      const auto label = static_cast<std::size_t>(c.labels[i]);
      expected += static_cast<double>((std::log(sum) - (row[label] - top)) / static_cast<long double>(batch));
      for (std::size_t j = 0; j < 3; ++j)
        slopes.push_back((std::exp(row[j] - top) / sum - (j == label ? 1 : 0)) / static_cast<long double>(batch));
    }
    CHECK(std::abs(double{got} - expected) <= 1.01 * kUnit * std::abs(expected) + 1e-15);
    pass.tape.backward(loss, 2.0f);
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      const double slope = 2 * static_cast<double>(slopes[i]);
      CHECK(std::abs(double{pass.tape.gradient_of(z)[static_cast<std::int64_t>(i)]} - slope) <=
            3 * kUnit * std::abs(slope) + 1e-15);
    }
  }
}

TEST_CASE("softmax cross-entropy's gradient agrees with central differences") {
  Bench bench;
  check_gradients(bench, {random_tensor({4, 5}, Key(1))}, 1, [](Pass& pass, const std::vector<Var>& x) {
    return softmax_cross_entropy(pass, x[0], std::array<std::int32_t, 4>{0, 4, 2, 2});
  });
}

TEST_CASE("a non-finite logit makes the loss non-finite") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Bench bench;
    Pass pass = bench.pass();
    const Var z = pass.tape.constant(Tensor::from({1, 2}, std::array{0.0f, bad}));
    CHECK_FALSE(std::isfinite(pass.tape[softmax_cross_entropy(pass, z, std::array{0})].item()));
  }
}

TEST_CASE("labels and logits that do not fit are refused") {
  Bench bench;
  Pass pass = bench.pass();
  const Var z = pass.tape.constant(Tensor::zeros({2, 3}));
  CHECK_THROWS_AS(softmax_cross_entropy(pass, z, std::array{0, 3}), DataError);
  CHECK_THROWS_AS(softmax_cross_entropy(pass, z, std::array{0, -1}), DataError);
  CHECK_THROWS_AS(softmax_cross_entropy(pass, z, std::array{0}), ShapeError);
  CHECK_THROWS_AS(softmax_cross_entropy(pass, pass.tape.constant(Tensor::zeros({0, 3})), {}), ShapeError);
  CHECK_THROWS_AS(softmax_cross_entropy(pass, pass.tape.constant(Tensor::zeros({3})), std::array{0, 0, 0}), ShapeError);
}

TEST_CASE("count_correct takes the first of equal logits and counts a NaN as wrong") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor logits = Tensor::from({5, 2}, std::array{1.0f, 0.0f, 0.0f, 1.0f, 2.0f, 2.0f, nan, 1.0f, 1.0f, nan});
  CHECK(count_correct(logits, std::array{0, 1, 0, 0, 0}) == 3);
  CHECK(count_correct(logits, std::array{1, 0, 1, 1, 1}) == 0);
  CHECK(count_correct(Tensor::zeros({0, 2}), {}) == 0);
}
