#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/loss.h"
#include "op_checks.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE("softmax cross-entropy is the mean of -log softmax, for extreme logits too") {
  struct Case {
    const char* why;
    std::vector<float> logits;  // [batch, 3]
    std::vector<std::int32_t> labels;
  };
  const Case cases[] = {
      {"equal logits", {0, 0, 0}, {1}},
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
      const std::array<long double, 3> row{c.logits[3 * i], c.logits[3 * i + 1],
                                           c.logits[3 * i + 2]};
      const long double top = std::max({row[0], row[1], row[2]});
      const long double sum =
          std::exp(row[0] - top) + std::exp(row[1] - top) + std::exp(row[2] - top);
      const auto label = static_cast<std::size_t>(c.labels[i]);
      expected += static_cast<double>((std::log(sum) - (row[label] - top)) /
                                      static_cast<long double>(batch));
      for (std::size_t j = 0; j < 3; ++j)
        slopes.push_back((std::exp(row[j] - top) / sum - (j == label ? 1 : 0)) /
                         static_cast<long double>(batch));
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
  check_gradients(
      bench, {random_tensor({4, 5}, Key(1))}, 1, [](Pass& pass, const std::vector<Var>& x) {
        return softmax_cross_entropy(pass, x[0], std::array<std::int32_t, 4>{0, 4, 2, 2});
      });
}

TEST_CASE(
    "label smoothing mixes in the mean over all classes, the z-loss log Z squared; without either "
    "the bits are those of the plain loss") {
  const Tensor z = random_tensor({4, 37}, Key(1), 3.0);
  const std::vector<std::int32_t> labels{0, 36, 5, 5};
  struct Case {
    double smoothing, z_loss;
  };
  for (const auto& [smoothing_, z_loss_] :
       {Case{0, 0}, Case{0.1, 0}, Case{1, 0}, Case{0, 0.02}, Case{0.1, 1}}) {
    const double smoothing = smoothing_, z_loss = z_loss_;
    CAPTURE(smoothing);
    CAPTURE(z_loss);
    const Op op = [&](Pass& pass, const std::vector<Var>& x) {
      return softmax_cross_entropy(pass, x[0], labels, smoothing, z_loss);
    };
    long double loss = 0;
    std::vector<double> slopes;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto at = [&](std::size_t j) {
        return static_cast<long double>(z[static_cast<std::int64_t>(37 * i + j)]);
      };
      long double sum = 0, mean = 0;
      for (std::size_t j = 0; j < 37; ++j) sum += std::exp(at(j));
      for (std::size_t j = 0; j < 37; ++j) mean += (std::log(sum) - at(j)) / 37;
      const auto label = static_cast<std::size_t>(labels[i]);
      const long double log_z = std::log(sum);
      loss +=
          ((1 - smoothing) * (log_z - at(label)) + smoothing * mean + z_loss * log_z * log_z) / 4;
      for (std::size_t j = 0; j < 37; ++j)
        slopes.push_back(static_cast<double>((std::exp(at(j)) / sum * (1 + 2 * z_loss * log_z) -
                                              smoothing / 37 - (j == label ? 1 - smoothing : 0)) /
                                             4));
    }
    Bench bench;
    Pass pass = bench.pass();
    const Var x = pass.tape.variable(z);
    const Var y = softmax_cross_entropy(pass, x, labels, smoothing, z_loss);
    CHECK(std::abs(double{pass.tape[y].item()} - static_cast<double>(loss)) <=
          1.01 * kUnit * static_cast<double>(loss));
    pass.tape.backward(y);
    require_elements(
        pass.tape.gradient_of(x),
        [&](std::int64_t i) { return slopes[static_cast<std::size_t>(i)]; },
        [&](std::int64_t i) {
          return 3 * kUnit * std::abs(slopes[static_cast<std::size_t>(i)]) + 1e-15;
        });
    check_bits(bench, {z}, op);
    check_gradients(
        bench, {random_tensor({4, 5}, Key(2))}, 1, [&](Pass& p, const std::vector<Var>& v) {
          return softmax_cross_entropy(p, v[0], std::array{0, 4, 2, 2}, smoothing, z_loss);
        });
    if (smoothing == 0.0 && z_loss == 0.0) {
      const auto plain = [&](Pass& p, const std::vector<Var>& v) {
        return softmax_cross_entropy(p, v[0], labels);
      };
      CHECK(run_op(bench, {z}, op) == run_op(bench, {z}, plain));
    }
  }
  Bench bench;
  Pass pass = bench.pass();
  for (const double bad : {-0.1, 1.1, std::nan("")})
    CHECK_THROWS_AS(softmax_cross_entropy(pass, pass.tape.constant(z), labels, bad), ConfigError);
  for (const double bad : {-0.1, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(softmax_cross_entropy(pass, pass.tape.constant(z), labels, 0.0, bad),
                    ConfigError);
}

TEST_CASE("losses of single elements and their gradients are their definitions in double") {
  struct Loss {
    const char* name;
    std::function<Var(Pass&, Var, const Tensor&)> op;
    std::function<long double(long double x, long double t)> loss, slope;
    bool probabilities = false;  ///< targets are from 0 to 1
  };
  const auto logistic = [](long double x) { return 1 / (1 + std::exp(-x)); };
  const auto huber = [](double beta) {
    return [=](Pass& p, Var x, const Tensor& t) { return smooth_l1_loss(p, x, t, beta); };
  };
  const auto sign = [](long double d) { return d > 0 ? 1.0L : d < 0 ? -1.0L : 0.0L; };
  const Loss losses[] = {
      {"mse_loss", mse_loss, [](long double x, long double t) { return (x - t) * (x - t); },
       [](long double x, long double t) { return 2 * (x - t); }},
      {"smooth_l1_loss", huber(1),
       [](long double x, long double t) {
         return std::abs(x - t) < 1 ? (x - t) * (x - t) / 2 : std::abs(x - t) - 0.5L;
       },
       [=](long double x, long double t) { return std::abs(x - t) < 1 ? x - t : sign(x - t); }},
      {"smooth_l1_loss of a small beta", huber(0.25),
       [](long double x, long double t) {
         return std::abs(x - t) < 0.25L ? (x - t) * (x - t) * 2 : std::abs(x - t) - 0.125L;
       },
       [=](long double x, long double t) {
         return std::abs(x - t) < 0.25L ? (x - t) * 4 : sign(x - t);
       }},
      {"smooth_l1_loss of beta 0", huber(0),
       [](long double x, long double t) { return std::abs(x - t); },
       [=](long double x, long double t) { return sign(x - t); }},
      {"binary_cross_entropy_with_logits", binary_cross_entropy_with_logits,
       [](long double x, long double t) {
         return t * std::log1p(std::exp(-x)) +
                (1 - t) * (std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0L));
       },
       [=](long double x, long double t) { return (1 - t) * logistic(x) - t * logistic(-x); },
       true}};
  for (const Loss& l : losses) {
    CAPTURE(std::string(l.name));
    Tensor x = random_tensor({5, 8}, Key(1), 2.0), t = random_tensor({5, 8}, Key(2));
    if (l.probabilities) {
      for (std::int64_t i = 0; i < t.size(); ++i)
        t[i] = i % 3 == 0 ? 0.0f : i % 3 == 1 ? 1.0f : std::min(1.0f, std::abs(t[i]));
    }
    const Op op = [&](Pass& pass, const std::vector<Var>& v) { return l.op(pass, v[0], t); };
    Bench bench;
    for (const float far :
         {0.0f, 60.0f,
          -60.0f}) {  // then all of them far out, where a logistic function is 0 or 1 but for 1e-26
      for (std::int64_t i = 0; far != 0.0f && i < x.size(); ++i) x[i] = far;
      Pass pass = bench.pass();
      const Var v = pass.tape.variable(x);
      const Var y = l.op(pass, v, t);
      long double want = 0;
      std::vector<double> slopes;
      for (std::int64_t i = 0; i < x.size(); ++i) {
        want += l.loss(static_cast<long double>(x[i]), static_cast<long double>(t[i])) / 40;
        slopes.push_back(static_cast<double>(
            l.slope(static_cast<long double>(x[i]), static_cast<long double>(t[i])) / 40));
      }
      CHECK(std::abs(double{pass.tape[y].item()} - static_cast<double>(want)) <=
            1.01 * kUnit * static_cast<double>(want));
      pass.tape.backward(y, 2.0f);
      require_elements(
          pass.tape.gradient_of(v),
          [&](std::int64_t i) { return 2 * slopes[static_cast<std::size_t>(i)]; },
          [&](std::int64_t i) {
            return 6 * kUnit * std::abs(slopes[static_cast<std::size_t>(i)]);
          });
      if (far == 0.0f) check_gradients(bench, {x}, 2, op);
    }
    const Tensor many = random_tensor({200, 170}, Key(3)),
                 wanted = Tensor::filled({200, 170}, 0.5f);
    check_bits(bench, {many},
               [&](Pass& pass, const std::vector<Var>& v) { return l.op(pass, v[0], wanted); });
    Pass pass = bench.pass();
    for (const auto& [of_x, of_t] :
         {std::pair<Shape, Shape>{{2, 3}, {3, 2}}, {{2, 3}, {3}}, {{0}, {0}}}) {
      const Var v = pass.tape.constant(Tensor::zeros(of_x));
      CHECK_THROWS_AS(l.op(pass, v, Tensor::zeros(of_t)), ShapeError);
    }
    const Var nan =
        pass.tape.constant(Tensor::filled({1}, std::numeric_limits<float>::quiet_NaN()));
    CHECK(std::isnan(pass.tape[l.op(pass, nan, Tensor::zeros({1}))].item()));
  }
}

TEST_CASE("targets that are no probabilities and a beta that is no width are refused") {
  Bench bench;
  Pass pass = bench.pass();
  const Var x = pass.tape.constant(Tensor::zeros({1}));
  for (const float bad : {-0.1f, 1.1f, std::nanf("")})
    CHECK_THROWS_AS(binary_cross_entropy_with_logits(pass, x, Tensor::filled({1}, bad)), DataError);
  for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(smooth_l1_loss(pass, x, Tensor::zeros({1}), bad), ConfigError);
}

TEST_CASE("a non-finite logit makes the loss non-finite") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
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
  CHECK_THROWS_AS(softmax_cross_entropy(pass, pass.tape.constant(Tensor::zeros({0, 3})), {}),
                  ShapeError);
  CHECK_THROWS_AS(
      softmax_cross_entropy(pass, pass.tape.constant(Tensor::zeros({3})), std::array{0, 0, 0}),
      ShapeError);
}

TEST_CASE("count_correct takes the first of equal logits and counts a NaN as wrong") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor logits =
      Tensor::from({5, 2}, std::array{1.0f, 0.0f, 0.0f, 1.0f, 2.0f, 2.0f, nan, 1.0f, 1.0f, nan});
  CHECK(count_correct(logits, std::array{0, 1, 0, 0, 0}) == 3);
  CHECK(count_correct(logits, std::array{1, 0, 1, 1, 1}) == 0);
  CHECK(count_correct(Tensor::zeros({0, 2}), {}) == 0);
}

TEST_CASE("binary cross-entropy of logits beyond all bounds is its limit") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float most = std::numeric_limits<float>::max();
  Bench bench;
  Pass pass = bench.pass();
  const Tensor logits = Tensor::from({4}, std::array{inf, -inf, most, -most});
  const auto loss = [&](std::array<float, 4> targets) {
    const Var mean = binary_cross_entropy_with_logits(pass, pass.tape.constant(logits),
                                                      Tensor::from({4}, targets));
    return pass.tape[mean].item();
  };
  CHECK(loss({1, 0, 1, 0}) == 0.0f);
  CHECK(loss({0, 0, 1, 0}) == inf);
}

TEST_CASE("focal loss is that of every class by itself, over the count, for extreme logits too") {
  struct Case {
    const char* why;
    std::vector<float> logits;  // [rows, 2]
    std::vector<std::int32_t> labels;
    FocalLoss config;
  };
  const Case cases[] = {
      {"a class, none, and one that counts for nothing",
       {0.5f, -1, 2, -3, 5, 5},
       {1, kNoClass, kIgnored},
       {}},
      {"huge logits", {1000, -1000, 90, -90}, {1, 0}, {}},
      {"other weights and powers", {0.5f, -1, 2, -3}, {0, kNoClass}, {.alpha = 0.6, .gamma = 1.5}},
      {"without focus it is cross-entropy",
       {0.5f, -1, 800, -3},
       {0, 0},
       {.alpha = 0.5, .gamma = 0}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::int64_t rows = std::ssize(c.labels);
    Bench bench;
    Pass pass = bench.pass();
    const Var z = pass.tape.variable(Tensor::from({rows, 2}, c.logits));
    const Var loss = focal_loss(pass, z, c.labels, 3.0, c.config);
    long double expected = 0;
    std::vector<long double> slopes;
    for (std::size_t i = 0; i < c.logits.size(); ++i) {
      const std::int32_t label = c.labels[i / 2];
      const bool yes = label == static_cast<std::int32_t>(i % 2);
      const long double x = yes ? c.logits[i] : -c.logits[i];  // of the right answer
      const long double a = label == kIgnored ? 0 : yes ? c.config.alpha : 1 - c.config.alpha;
      const long double p = 1 / (1 + std::exp(-x)), q = 1 / (1 + std::exp(x)),
                        l = x > 0 ? std::log1p(std::exp(-x)) : -x + std::log1p(std::exp(x));
      const long double focus = std::pow(q, static_cast<long double>(c.config.gamma));
      expected += a * focus * l / 3;
      slopes.push_back((yes ? -1 : 1) * a * focus * (c.config.gamma * p * l + q) / 3);
    }
    CHECK(std::abs(double{pass.tape[loss].item()} - static_cast<double>(expected)) <=
          1.01 * kUnit * static_cast<double>(expected) + 1e-15);
    pass.tape.backward(loss);
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      const auto slope = static_cast<double>(slopes[i]);
      CHECK(std::abs(double{pass.tape.gradient_of(z)[static_cast<std::int64_t>(i)]} - slope) <=
            3 * kUnit * std::abs(slope) + 1e-15);
    }
  }
}

TEST_CASE(
    "focal loss has the gradient of its value, the same bits anywhere, and refuses what does not "
    "fit") {
  Bench bench;
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 50; ++i) labels.push_back(i % 5 - 2);
  const Op op = [&](Pass& pass, const std::vector<Var>& inputs) {
    return focal_loss(pass, inputs[0], labels, 7.0);
  };
  const Op of_few = [&](Pass& pass, const std::vector<Var>& inputs) {
    return focal_loss(pass, inputs[0], std::span(labels).first(10), 7.0);
  };
  check_gradients(bench, {random_tensor({10, 3}, Key(3), 0.5)}, 4, of_few);
  check_bits(bench, {random_tensor({50, 3}, Key(3), 2.0)}, op);
  Pass pass = bench.pass();
  const Var z = pass.tape.constant(Tensor::zeros({1, 2}));
  for (const std::int32_t bad : {2, -3})
    CHECK_THROWS_AS(focal_loss(pass, z, std::array{bad}, 1.0), DataError);
  CHECK_THROWS_AS(focal_loss(pass, z, std::array{0, 0}, 1.0), ShapeError);
  CHECK_THROWS_AS(focal_loss(pass, z, std::array{0}, 0.0), ConfigError);
  CHECK_THROWS_AS(focal_loss(pass, z, std::array{0}, 1.0, {.alpha = 1.5}), ConfigError);
  CHECK_THROWS_AS(focal_loss(pass, z, std::array{0}, 1.0, {.gamma = -1}), ConfigError);
}
