#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "optim/optimizer.h"
#include "quant/formats/codec.h"

using namespace ebb;

namespace {

constexpr double kUnit = 0x1p-24;

Tensor random_vector(std::int64_t n, Key key) {
  Tensor x = Tensor::uninitialized({n});
  for (std::int64_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(key.normal(static_cast<std::uint64_t>(i)));
  return x;
}

/// Two parameters around a layer state.
ParamStore make_store(std::int64_t n = 5) {
  ParamStore params;
  params.add("w", random_vector(n, Key(1)));
  params.add("range", Tensor::filled({3}, 7.0f), ParamStore::Kind::state);
  params.add("b", random_vector(n + 1, Key(2)));
  return params;
}

Gradients gradients_at(std::uint64_t step, std::int64_t n = 5) {
  return {random_vector(n, Key(3).fold(step)), Tensor{}, random_vector(n + 1, Key(4).fold(step))};
}

double rate_at(std::uint64_t step) { return 0.1 / (1.0 + static_cast<double>(step)); }

/// The update rules in double, for one element; as published by PyTorch's documentation of SGD,
/// Adam and AdamW.
struct Element {
  double w, v = 0, m = 0, s = 0;

  void move(const std::string& name, const Optimizer& c, double g, double rate, int t) {
    const auto of = [&](const char* setting) { return number_of(c.hyperparameters, setting); };
    if (name == "adamw") w -= rate * of("weight_decay") * w;
    if (name != "adamw") g += of("weight_decay") * w;
    if (name == "sgd") {
      v = of("momentum") * v + g;
      w -= rate * v;
      return;
    }
    m = of("beta1") * m + (1 - of("beta1")) * g;
    s = of("beta2") * s + (1 - of("beta2")) * g * g;
    w -= rate * (m / (1 - std::pow(of("beta1"), t))) /
         (std::sqrt(s / (1 - std::pow(of("beta2"), t))) + of("epsilon"));
  }
};

const NamedNumbers kSettings{{"weight_decay", 0.05}};

}  // namespace

TEST_CASE("float32 optimizers follow their published rules, with changing rates and weight decay") {
  for (const std::string name : {"sgd", "adam", "adamw"}) {
    CAPTURE(name);
    ParamStore params = make_store();
    std::vector<std::vector<Element>> expected;
    for (const auto& entry : params.entries()) {
      expected.emplace_back();
      for (const float w : entry.value.values()) expected.back().push_back({double{w}});
    }
    Optimizer optimizer = make_optimizer(name, kSettings);
    constexpr int steps = 30;
    for (int t = 1; t <= steps; ++t) {
      const Gradients g = gradients_at(static_cast<std::uint64_t>(t));
      optimizer.step(params, g, rate_at(static_cast<std::uint64_t>(t)));
      for (const std::size_t p : {0u, 2u}) {
        for (std::size_t i = 0; i < expected[p].size(); ++i) {
          expected[p][i].move(name, optimizer, double{g[p][static_cast<std::int64_t>(i)]},
                              rate_at(static_cast<std::uint64_t>(t)), t);
        }
      }
    }
    for (const std::size_t p : {0u, 2u}) {
      for (std::size_t i = 0; i < expected[p].size(); ++i) {
        // About ten roundings a step, of values that stay below 10 here.
        CHECK(std::abs(double{params.entries()[p].value[static_cast<std::int64_t>(i)]} -
                       expected[p][i].w) <= steps * 10 * kUnit * 10);
      }
    }
    CHECK(params.entries()[1].value == Tensor::filled({3}, 7.0f));
  }
}

TEST_CASE(
    "every optimizer goes on from a saved state bit for bit, and skips parameters without "
    "gradient") {
  for (const std::string& name : optimizer_names()) {
    CAPTURE(name);
    ParamStore params = make_store(), resumed_params;
    Optimizer optimizer = make_optimizer(name, kSettings),
              resumed = make_optimizer(name, kSettings);
    for (std::uint64_t t = 0; t < 10; ++t) {
      if (t == 4) {
        resumed_params = params;
        const Optimizer::State state = optimizer.save(params);
        resumed.restore(resumed_params, state);
        CHECK(resumed.save(resumed_params) == state);
        const bool sgd = name.starts_with("sgd");
        CHECK(state.steps == (sgd ? 0u : 4u));
        CHECK(state.tensors.size() == 2 * optimizer.rule->slots.size());
        CHECK(state.tensors.front().name == (sgd ? "velocity/w" : "first/w"));
      }
      optimizer.step(params, gradients_at(t), 0.01, Key(t));
      if (t >= 4) resumed.step(resumed_params, gradients_at(t), 0.01, Key(t));
    }
    for (std::size_t p = 0; p < params.size(); ++p)
      CHECK(params.entries()[p].value == resumed_params.entries()[p].value);

    const ParamStore before = params;
    Gradients partial = gradients_at(11);
    partial[0] = Tensor{};
    optimizer.step(params, partial, 0.01, Key(11));
    CHECK(params.entries()[0].value == before.entries()[0].value);
    CHECK(params.entries()[2].value != before.entries()[2].value);
  }
}

TEST_CASE(
    "each parameter can have a rate of its own: at 0 it stays, and the others move as they would "
    "alone") {
  for (const std::string& name : optimizer_names()) {
    CAPTURE(name);
    ParamStore alike = make_store(), apart = make_store();
    Optimizer one = make_optimizer(name, kSettings), each = make_optimizer(name, kSettings);
    one.begin(alike);
    each.begin(apart);
    const ParamStore before = apart;
    for (std::uint64_t t = 0; t < 5; ++t) {
      one.step(alike, gradients_at(t), 0.25, Key(t));
      each.step(apart, gradients_at(t), std::vector<double>{0.25, 3.0, 0.0}, Key(t));
    }
    CHECK(apart.entries()[0].value == alike.entries()[0].value);
    CHECK(apart.entries()[1].value == before.entries()[1].value);
    CHECK(apart.entries()[2].value == before.entries()[2].value);
    CHECK_THROWS_AS(each.step(apart, gradients_at(5), std::vector<double>{0.25, 0.25}), ShapeError);
    CHECK(apart.entries()[0].value == alike.entries()[0].value);
  }
}

TEST_CASE("every optimizer gives the same bits for any number of threads") {
  constexpr std::int64_t n = 70001;
  const int threads = omp_get_max_threads();
  for (const std::string& name : optimizer_names()) {
    CAPTURE(name);
    std::vector<ParamStore> results;
    for (const int count : {1, 2, 3}) {
      omp_set_num_threads(count);
      ParamStore params = make_store(n);
      Optimizer optimizer = make_optimizer(name, kSettings);
      for (std::uint64_t t = 0; t < 2; ++t)
        optimizer.step(params, gradients_at(t, n), 0.01, Key(t));
      results.push_back(params);
    }
    for (const ParamStore& result : results)
      CHECK(result.entries()[2].value == results[0].entries()[2].value);
  }
  omp_set_num_threads(threads);
}

TEST_CASE(
    "a step with gradients of another shape, and a foreign state, are refused and change nothing") {
  for (const std::string& name : optimizer_names()) {
    CAPTURE(name);
    ParamStore params = make_store();
    Optimizer optimizer = make_optimizer(name, kSettings);
    optimizer.step(params, gradients_at(0), 0.1, Key(0));
    const Optimizer::State state = optimizer.save(params);
    const ParamStore before = params;
    Gradients bad = gradients_at(1);
    bad[2] = Tensor::zeros({2});
    CHECK_THROWS_AS(optimizer.step(params, bad, 0.1), ShapeError);
    CHECK_THROWS_AS(optimizer.step(params, {}, 0.1), ShapeError);
    for (const char* foreign : {"velocity/unknown", "third/w", "", "w", "/"}) {
      Optimizer::State wrong = state;
      wrong.tensors.push_back({foreign, params.entries()[0].value});
      CHECK_THROWS_AS(optimizer.restore(params, wrong), DataError);
    }
    Optimizer::State wrong_shape = state;
    wrong_shape.tensors[0].value = Tensor::zeros({1});
    CHECK_THROWS_AS(optimizer.restore(params, wrong_shape), DataError);
    CHECK(optimizer.save(params) == state);
    CHECK(params.entries()[0].value == before.entries()[0].value);
  }
}

TEST_CASE("optimizers are made by name, with hyperparameters of their own and in range") {
  struct Case {
    const char* optimizer;
    NamedNumbers given;
    const char* message;
  };
  const Case cases[] = {
      {"adamww",
       {},
       "[optimizer] unknown optimizer 'adamww'; did you mean 'adamw'? Known: sgd, adam, adamw, "
       "adamw-low, adamw-stochastic, adamw-kahan, collage-light, collage-plus, adamw-fp32-state, "
       "adamw-master, sgd-low, sgd-stochastic, sgd-kahan, sgd-collage-light, sgd-collage-plus, "
       "sgd-fp32-state, sgd-master"},
      {"sgd",
       {{"beta1", 0.9}},
       "[sgd] unknown hyperparameter 'beta1'; known: momentum, weight_decay"},
      {"adam",
       {{"momentum", 0.5}},
       "[adam] unknown hyperparameter 'momentum'; known: beta1, beta2, epsilon, weight_decay"},
      {"sgd", {{"momentum", 1.0}}, "[sgd] momentum: expected 0 to below 1, got 1"},
      {"sgd", {{"momentum", -0.1}}, "[sgd] momentum: expected 0 to below 1, got -0.1"},
      {"adam", {{"beta1", 1.0}}, "[adam] beta1: expected 0 to below 1, got 1"},
      {"adamw", {{"beta2", -1.0}}, "[adamw] beta2: expected 0 to below 1, got -1"},
      {"adam", {{"epsilon", 0.0}}, "[adam] epsilon: expected a number above 0, and finite, got 0"},
      {"sgd",
       {{"weight_decay", -1.0}},
       "[sgd] weight_decay: expected 0 and more, and finite, got -1"}};
  for (const Case& c : cases)
    CHECK_THROWS_WITH_AS(make_optimizer(c.optimizer, c.given), c.message, ConfigError);
}

TEST_CASE("the names that checkpoints hold, and what counts steps, stay as they are") {
  struct Case {
    const char* optimizer;
    std::vector<std::string> names;
    std::uint64_t steps;
  };
  const Case cases[] = {
      {"sgd", {"velocity/w", "velocity/b"}, 0},
      {"adam", {"first/w", "first/b", "second/w", "second/b"}, 2},
      {"adamw", {"first/w", "first/b", "second/w", "second/b"}, 2},
      {"collage-plus",
       {"first/w", "first/b", "second/w", "second/b", "weight_residual/w", "weight_residual/b",
        "second_residual/w", "second_residual/b"},
       2},
      {"adamw-master", {"first/w", "first/b", "second/w", "second/b", "master/w", "master/b"}, 2},
      {"sgd-collage-plus",
       {"velocity/w", "velocity/b", "weight_residual/w", "weight_residual/b", "velocity_residual/w",
        "velocity_residual/b"},
       0}};
  for (const Case& c : cases) {
    CAPTURE(c.optimizer);
    ParamStore params = make_store();
    Optimizer optimizer = make_optimizer(c.optimizer);
    for (const std::uint64_t t : {0u, 1u}) optimizer.step(params, gradients_at(t), 0.1);
    const Optimizer::State state = optimizer.save(params);
    std::vector<std::string> names;
    for (const Optimizer::NamedTensor& tensor : state.tensors) names.push_back(tensor.name);
    CHECK(names == c.names);
    CHECK(state.steps == c.steps);
  }
}

TEST_CASE("a rule of one's own is an optimizer: its slots are saved, its draws are the key's") {
  // w = w - rate u with u uniform, and how often it has moved in a slot.
  static constexpr Slot kOwnSlots[] = {{"moves"}};
  static constexpr OptimizerRule kOwn{
      .name = "own",
      .hyperparameters = {},
      .slots = kOwnSlots,
      .draws = true,
      .step = [](const NamedNumbers&, const Update& u) {
        for (std::int64_t j = 0; j < u.size; ++j) {
          const std::uint64_t element = u.first + static_cast<std::uint64_t>(j);
          u.w[j] -= static_cast<float>(u.rate * u.key.uniform(element));
          u.slots[0][j] += 1;
        }
        return true;
      }};
  constexpr std::int64_t n = 70001;
  const int threads = omp_get_max_threads();
  std::vector<Tensor> results;
  for (const int count : {1, 3}) {
    omp_set_num_threads(count);
    ParamStore params = make_store(n);
    Optimizer optimizer(kOwn);
    CHECK_THROWS_WITH_AS(optimizer.step(params, gradients_at(0, n), 1.0),
                         "[own] draws at random: give step() a key of this iteration", ConfigError);
    CHECK(params["w"] == make_store(n)["w"]);
    const Key key(5);
    optimizer.step(params, gradients_at(0, n), 1.0, key);
    for (const std::int64_t i : {std::int64_t{0}, n / 2, n}) {
      const double u = key.fold("b").uniform(static_cast<std::uint64_t>(i));
      CHECK(params["b"][i] == make_store(n)["b"][i] - static_cast<float>(u));
    }
    results.push_back(params["b"]);
    const Optimizer::State state = optimizer.save(params);
    CHECK(state.tensors[1].name == "moves/b");
    CHECK(state.tensors[1].value == Tensor::filled({n + 1}, 1.0f));
    Optimizer resumed(kOwn);
    resumed.restore(params, state);
    CHECK(resumed.save(params) == state);
  }
  CHECK(results[0] == results[1]);
  omp_set_num_threads(threads);
}

TEST_CASE("a slot of few bits is rounded to its format after every step, and drawn by element") {
  // Slots that take the gradient as it is, so that what they hold is what rounding makes of it.
  static const Slot kSlots[] = {{"nearest", Format::parse("bf16")},
                                {"stochastic", Format::parse("e4m3"), Rounding::stochastic}};
  static const OptimizerRule kOwn{.name = "own",
                                  .hyperparameters = {},
                                  .slots = kSlots,
                                  .step = [](const NamedNumbers&, const Update& u) {
                                    for (float* const slot : u.slots)
                                      std::copy_n(u.g, u.size, slot);
                                    return true;
                                  }};
  constexpr std::int64_t n = 40001;
  ParamStore params = make_store(n);
  Optimizer optimizer(kOwn);
  const Gradients gradients = gradients_at(0, n);
  CHECK_THROWS_AS(optimizer.step(params, gradients, 1.0), ConfigError);  // it needs a key
  const Key key(5);
  optimizer.step(params, gradients, 1.0, key);
  for (std::size_t s = 0; s < std::size(kSlots); ++s) {
    const Key own = key.fold("b").fold(kSlots[s].name);
    for (std::int64_t i = 0; i <= n; i += 997) {
      CHECK(optimizer.slots[s][2][i] == round_to(kSlots[s].format, gradients[2][i],
                                                 kSlots[s].rounding, own,
                                                 static_cast<std::uint64_t>(i)));
    }
  }
  static const Slot kGrid[] = {{"grid", Format::integer(8)}};
  static const OptimizerRule kBad{.name = "bad", .hyperparameters = {}, .slots = kGrid};
  CHECK_THROWS_WITH_AS(Optimizer{kBad},
                       "[bad] expected the slot 'grid' to be of fp32 or a format with a codec, got "
                       "int8, whose grid would change with every step",
                       ConfigError);
}

TEST_CASE(
    "rates and hyperparameters that are NaN, infinite or out of range are refused by the step too, "
    "which changes nothing") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  struct Case {
    const char* optimizer;
    double rate;
    std::size_t changed;  // hyperparameter
    double value;
  };
  const Case cases[] = {{"sgd", nan, 0, 0.9},  {"sgd", infinity, 0, 0.9}, {"sgd", -0.1, 0, 0.9},
                        {"adam", nan, 0, 0.9}, {"sgd", 0.1, 0, nan},      {"sgd", 0.1, 1, nan},
                        {"adam", 0.1, 2, nan}, {"sgd", 0.1, 0, infinity}};
  for (const Case& c : cases) {
    ParamStore params = make_store();
    Optimizer optimizer = make_optimizer(c.optimizer);
    optimizer.hyperparameters[c.changed].second = c.value;
    CHECK_THROWS_AS(optimizer.step(params, gradients_at(1), c.rate), ConfigError);
    CHECK(params["w"] == make_store()["w"]);
    CHECK(optimizer.save(params).tensors.empty());
    CHECK(optimizer.steps == 0);
  }
}

TEST_CASE("an update that overflows names its parameter, wherever in it the overflow is") {
  constexpr std::int64_t n = 70001;
  struct Case {
    const char* why;
    const char* optimizer;
    float gradient;
    double rate;
  };
  const Case cases[] = {{"the mean of squares: 0.001 * 1e42 is beyond 3.4e38", "adam", 1e21f, 0.01},
                        {"the same, decoupled", "adamw", -1e21f, 0.01},
                        {"the weight: 1e37 * 100", "sgd", 1e37f, 100.0}};
  for (const Case& c : cases) {
    for (const std::int64_t at : {std::int64_t{0}, n / 2, n}) {
      CAPTURE(c.why);
      CAPTURE(at);
      ParamStore params = make_store(n);
      Optimizer optimizer = make_optimizer(c.optimizer);
      optimizer.step(params, gradients_at(0, n), 0.01);
      Gradients gradients = gradients_at(1, n);
      gradients[2][at] = c.gradient;
      std::string message;
      try {
        optimizer.step(params, gradients, c.rate);
      } catch (const NonFiniteError& error) {
        message = error.what();
      }
      CHECK(message.starts_with("[step] the update of 'b' overflowed: "));
    }
  }
}
