#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
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
