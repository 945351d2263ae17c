#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/record.h"
#include "train/tasks/scorers.h"
#include "train_tiny_task.h"

using namespace ebb;
using namespace ebb::train;

TEST_CASE("scores are means, or functions of the summed loss, and say which way is better") {
  const ScoreSums sums{.loss = 6.0, .correct = 1.0, .bytes = 10.0, .examples = 4};
  struct Case {
    SumScore score;
    const char* name;
    double value;
    bool lower_is_better;
  };
  const Case cases[] = {{accuracy(), "accuracy", 0.25, false},
                        {perplexity(), "perplexity", std::exp(1.5), true},
                        {bits_per_byte(), "bits_per_byte", 0.6 / std::log(2.0), true}};
  for (const Case& c : cases) {
    CHECK(c.score.metric.name == c.name);
    CHECK(std::abs(c.score.of(sums) - c.value) < 1e-14);
    CHECK(c.score.metric.lower_is_better == c.lower_is_better);
  }
}

TEST_CASE("every evaluation begins with sums of nothing, and losses are weighted by examples") {
  const Split split = sum_split("test", 2, {accuracy(), perplexity()},
                                [](Pass&, std::int64_t piece, ScoreSums& sums) {
                                  sums.add(piece == 0 ? 1.0 : 2.0, piece == 0 ? 3 : 1);
                                  sums.correct += 1;
                                });
  RunState state = TinyTask::state();
  const PrecisionPlan plan = PrecisionPlan::fp32();
  for (int evaluation = 0; evaluation < 2; ++evaluation) {
    const Scorer scorer = split.begin();
    for (const std::int64_t piece : {0, 1}) {
      Pass pass{.params = state.params,
                .plan = plan,
                .ledger = state.evaluation_ledger,
                .key = Key(0),
                .mode = Pass::Mode::evaluate};
      scorer.add(pass, piece);
    }
    const Scores scores = scorer.result();
    CHECK(scores.examples == 4);
    CHECK(scores.loss == 1.25);
    CHECK(number_of(scores.values, "accuracy") == 0.5);
    CHECK(std::abs(number_of(scores.values, "perplexity") - std::exp(1.25)) < 1e-15);
  }
}

TEST_CASE("a step records the share of predicted labels over its micro-batches") {
  struct Case {
    const char* why;
    std::vector<std::int64_t> parts;
    std::vector<double> shares;
    std::optional<double> accuracy;
  };
  const Case cases[] = {{"one batch", {5}, {0.4}, 0.4},
                        {"3 of 3 and 1 of 2 examples", {3, 2}, {1.0, 0.5}, 0.8},
                        {"no labels", {3, 2}, {}, std::nullopt}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Task task = TinyTask{.part_sizes = c.parts}.task();
    task.loss = [loss = task.loss, &c](Pass& pass, std::int64_t t, std::int64_t part) {
      BatchLoss result = loss(pass, t, part);
      if (!c.shares.empty()) result.accuracy = c.shares[static_cast<std::size_t>(part)];
      return result;
    };
    RunState state = TinyTask::state();
    std::vector<StepRow> steps;
    const LoopSettings settings{.iterations = 1,
                                .key = Key(1),
                                .plan = [](std::int64_t) { return PrecisionPlan::fp32(); },
                                .rate = [](std::int64_t) { return 0.1; }};
    run_loop(task, state, settings, {.step = [&](const StepRow& row) { steps.push_back(row); }});
    REQUIRE(steps.size() == 1);
    CHECK(steps[0].accuracy.has_value() == c.accuracy.has_value());
    CHECK(std::abs(steps[0].accuracy.value_or(0) - c.accuracy.value_or(0)) < 1e-15);
  }
}

TEST_CASE(
    "a labelled loss is the softmax cross-entropy, and counts rows whose largest logit is the "
    "label's") {
  RunState state = TinyTask::state();
  const PrecisionPlan plan = PrecisionPlan::fp32();
  for (const bool counting : {false, true}) {
    Pass pass{.params = state.params,
              .plan = plan,
              .ledger = state.ledger,
              .key = Key(0),
              .counting = counting};
    const Var logits =
        pass.tape.constant(Tensor::from({3, 2}, std::vector<float>{0, 1, 2, 1, 0, 3}));
    const std::vector<std::int32_t> labels{1, 1, 1};
    const BatchLoss loss = labelled_loss(pass, logits, labels);
    CHECK(loss.accuracy.has_value() == !counting);
    if (counting) continue;
    CHECK(*loss.accuracy == 2.0 / 3.0);
    const double expected =
        (std::log1p(std::exp(-1.0)) + std::log1p(std::exp(1.0)) + std::log1p(std::exp(-3.0))) / 3;
    CHECK(std::abs(static_cast<double>(pass.tape[loss.value].item()) - expected) < 1e-6);
  }
}

TEST_CASE("a prediction is the largest logit's label with its softmax probability") {
  const Tensor logits = Tensor::from({3, 3}, std::vector<float>{0, 2, 1, 5, 5, 5, 1000, -1000, 0});
  const std::vector<Prediction> got = predictions(logits);
  REQUIRE(got.size() == 3);
  const std::int64_t labels[] = {1, 0, 0};  // the first of equals
  const double expected[] = {1 / (1 + std::exp(-2.0) + std::exp(-1.0)), 1.0 / 3.0, 1};
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(got[i].label == labels[i]);
    CHECK(std::abs(got[i].probability - expected[i]) < 1e-15);
  }
  CHECK(prediction_row("a", "7", "cat", 0.25) ==
        std::vector<std::string>{"a", "7", "cat", "0.250000"});
}

TEST_CASE("a scorer that is no mean of sums gives its named values to record and controllers") {
  // The largest loss of any piece, which no sum knows.
  Task task = TinyTask{}.task();
  task.metric = {"largest", true};
  for (Split& split : task.splits) {
    split.begin = [] {
      const auto largest = std::make_shared<double>(0);
      return Scorer{.add =
                        [largest](Pass&, std::int64_t piece) {
                          *largest = std::max(*largest, piece == 0 ? 3.0 : 2.0);
                        },
                    .result =
                        [largest] {
                          return Scores{.examples = 5,
                                        .loss = 0.5,
                                        .values = {{"pieces", 2}, {"largest", *largest}}};
                        }};
    };
  }
  RunState state = TinyTask::state();
  const LoopSettings settings{.evaluation_plan = PrecisionPlan::fp32()};
  const EvalRow row = evaluate(task, task.splits[0], state, settings);
  CHECK(row.metric == "largest");
  CHECK(row.score == 3.0);
  CHECK(row.loss == 0.5);
  CHECK(row.examples == 5);
  CHECK(row.lower_is_better);
  CHECK(row.more == NamedNumbers{{"pieces", 2}});
  const std::string line = to_line(row);
  CHECK(line.find(R"("metric":"largest","score":3.0)") != std::string::npos);
  CHECK(line.ends_with(R"("lower_is_better":true,"scores":{"pieces":2.0}})"));
}
