#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/synthetic.h"
#include "models/mlp/network.h"
#include "optim/optimizer.h"
#include "train/costs.h"
#include "train/tasks/certified.h"

using namespace ebb;
using namespace ebb::train;

namespace {

Options options_with(const KeyValues& values) {
  std::vector<OptionSpec> specs = image_options();
  for (OptionSpec& option : certified_options()) specs.push_back(std::move(option));
  Options options(specs, {{"batch", "20"}, {"iterations", "8"}});
  options.set("certify", "true");
  for (const auto& [name, text] : values) options.set(name, text);
  return options;
}

std::shared_ptr<ImageData> small_data() {
  ImageData data;
  data.set = {.name = "small",
              .train = synthetic_images(SyntheticKind::grey, 50, Key(1)),
              .test = synthetic_images(SyntheticKind::grey, 130, Key(2)),
              .augmentation = Augmentation::none()};
  data.set.test.normalization = data.set.train.normalization;
  return std::make_shared<ImageData>(std::move(data));
}

struct Trained {
  RunState state{.optimizer = make_optimizer("sgd")};
  CostLedger predicted;
  std::vector<StepRow> steps;
  std::vector<EvalRow> scores;
};
Trained trained(const KeyValues& values, const PrecisionPlan& plan, std::int64_t iterations = 8,
                std::int64_t first = 0, const RunState* from = nullptr) {
  const Options options = options_with(values);
  Trained run;
  const Classifier network =
      make_mlp({.hidden = {12}, .norm = true}, {28, 28, 1}, 10, run.state.params, Key(3));
  init_certified(run.state.params, network.layers, options, Key(3));
  if (from != nullptr) run.state = *from;
  REQUIRE(run.state.iteration == first);
  const Task task = certified_task(small_data(), network.layers, options);
  LoopSettings settings{.iterations = iterations, .key = Key(4)};
  settings.plan = [=](std::int64_t) { return plan; };
  settings.rate = [](std::int64_t) { return 0.05; };
  settings.evaluation_plan = plan;
  settings.eval_every = settings.save_every = 100;
  LoopEvents events;
  events.step = [&](const StepRow& row) { run.steps.push_back(row); };
  events.evaluation = [&](const EvalRow& row) { run.scores.push_back(row); };
  run.predicted = predict(task, run.state.params, settings.plan, iterations);
  run_loop(task, run.state, settings, events);
  return run;
}

double setting(const StepRow& row, const char* name) { return number_of(row.settings, name); }

}  // namespace

TEST_CASE("epsilon, lambda and kappa follow their schedules, and costs are those predicted") {
  struct Case {
    const char* why;
    KeyValues options;
    std::vector<double> epsilon, kappa, lambda;
  };
  // Ramps of 8 updates: 0 for two, up to 0.2 at the sixth.
  const std::string ramp = "0 @2up ; 0->0.2 : lin @4up ; 0.2 @rest";
  const std::vector<double> risen{0, 0, 0, 0.05, 0.1, 0.15, 0.2, 0.2}, none(8, 0.0);
  const Case cases[] = {{"with regularisers, which also see the updates without epsilon",
                         {{"certify-epsilon", ramp}, {"certify-lambda", "0.4"}},
                         risen,
                         none,
                         {0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0, 0}},
                        {"without them, and with some of the clean loss",
                         {{"certify-epsilon", ramp},
                          {"certify-lambda", "0"},
                          {"certify-kappa", "0.5 @5up ; 0 @rest"}},
                         risen,
                         {0.5, 0.5, 0.5, 0.5, 0.5, 0, 0, 0},
                         none}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Trained run =
        trained(c.options, PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
    REQUIRE(run.steps.size() == 8);
    for (std::size_t t = 0; t < 8; ++t) {
      CAPTURE(t);
      CHECK(setting(run.steps[t], "epsilon") == doctest::Approx(c.epsilon[t]));
      CHECK(setting(run.steps[t], "kappa") == doctest::Approx(c.kappa[t]));
      CHECK(setting(run.steps[t], "lambda") == doctest::Approx(c.lambda[t]));
    }
    CHECK(run.predicted.total_bit_ops() == run.state.ledger.total_bit_ops());
  }
}

TEST_CASE("verified error includes standard error, and is that of the last epsilon") {
  for (const char* epsilon : {"0.002", "0->0.02 : lin", "0.3"}) {
    CAPTURE(epsilon);
    const Trained run = trained({{"certify-epsilon", epsilon}}, PrecisionPlan::fp32(), 30);
    const EvalRow& row = run.scores.back();
    CHECK(row.metric == "verified_error");
    CHECK(row.lower_is_better);
    CHECK(row.examples == 130);
    CHECK(row.score >= number_of(row.more, "standard_error"));
    CHECK(row.score < 1);
  }
}

TEST_CASE("a run that goes on has the bits of one that was not interrupted") {
  const PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(6), Format::integer(8));
  const Trained whole = trained({}, plan), half = trained({}, plan, 4),
                rest = trained({}, plan, 8, 4, &half.state);
  for (std::size_t i = 0; i < whole.state.params.size(); ++i)
    CHECK(rest.state.params.entries()[i].value == whole.state.params.entries()[i].value);
  CHECK(rest.scores.back().score == whole.scores.back().score);
}

TEST_CASE("settings and data that cannot be certified are refused") {
  struct Case {
    KeyValues options;
    const char* says;
  };
  const Case cases[] = {
      {{{"certify-epsilon", "0.1->0 : lin"}}, "ends at 0, where evaluations are"},
      {{{"certify-epsilon", "0->1.1 : lin"}}, "ends at 1.1, where evaluations are"},
      {{{"certify-epsilon", "0->1.5 : lin"}}, "--certify-epsilon at iteration"},
      {{{"certify-kappa", "1.5"}}, "expected 0 to 1, got 1.5"}};
  for (const Case& c : cases) {
    CAPTURE(c.says);
    std::string said;
    try {
      trained(c.options, PrecisionPlan::fp32());
    } catch (const ConfigError& error) {
      said = error.what();
    }
    CHECK(said.find(c.says) != std::string::npos);
  }
  CHECK_THROWS_AS(options_with({{"certify-epsilon", "plateau(0.5, 3)"}}), ConfigError);
  ParamStore params;
  CHECK_THROWS_AS(init_certified(params, {}, options_with({}), Key(1)), ConfigError);

  const std::shared_ptr<ImageData> data = small_data();
  data->set.train.pixels = std::vector<float>(50 * 28 * 28, 1.5f);
  const Classifier network =
      make_mlp({.hidden = {12}, .norm = true}, {28, 28, 1}, 10, params, Key(3));
  CHECK_THROWS_WITH_AS(certified_task(data, network.layers, options_with({})),
                       doctest::Contains("expected pixels from 0 to 1"), DataError);
}
