#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "tests/tiny_options.h"
#include "tests/train_tiny_task.h"
#include "train/costs.h"
#include "train/digest.h"
#include "train/loop.h"
#include "train/options/knobs.h"
#include "train/options/precision.h"
#include "train/tasks/multiplied.h"

using namespace ebb;
using namespace ebb::train;
using test::options_of;

namespace {

constexpr std::int64_t kSteps = 24;

LoopSettings settings() {
  LoopSettings s{.iterations = kSteps, .key = Key(5)};
  s.plan = [](std::int64_t) { return PrecisionPlan::fp32(); };
  s.rate = [](std::int64_t) { return 0.02; };
  s.eval_every = 2;
  s.save_every = 100;
  return s;
}

RunState state_with(const std::vector<std::pair<std::string, std::string>>& set) {
  RunState state = TinyTask::state();
  for (const auto& [name, text] : set) {
    const Schedule schedule = Schedule::parse(text);
    state.knobs.emplace_back(name, schedule, schedule.bind(kSteps));
  }
  return state;
}

std::vector<StepRow> run(RunState& state, std::int64_t from, std::int64_t until) {
  LoopSettings s = settings();
  if (until < kSteps) s.leave_before = until;
  std::vector<StepRow> rows;
  CHECK(state.iteration == from);
  run_loop(TinyTask{}.task(), state, s, {.step = [&](const StepRow& row) { rows.push_back(row); }});
  return rows;
}

std::vector<Knob> knobs(const std::vector<std::string>& args, bool evaluates = true,
                        std::span<const TaskSetting> settings = {}) {
  const Options options = options_of(args);
  check_expressions(options);
  return knobs_of(options, {.updates = 100, .updates_per_epoch = 10},
                  make_optimizer(options.text("optimizer")), evaluates, settings);
}

}  // namespace

TEST_CASE("settings follow their schedules, and the record says so") {
  RunState turned = state_with({{"lr", "0.04->0:lin"},
                                {"momentum", ".95->.85:lin @50% ; .85->.95:lin @rest"},
                                {"weight-decay", "1e-3 @12up ; 0 @rest"},
                                {"clip", "0.5"}});
  const std::vector<StepRow> rows = run(turned, 0, kSteps);
  REQUIRE(rows.size() == kSteps);
  CHECK(rows[6].learning_rate == 0.04 * (18.0 / 24));
  CHECK(number_of(rows[6].settings, "momentum") == doctest::Approx(.90).epsilon(1e-12));
  CHECK(number_of(rows[11].settings, "weight-decay") == 1e-3);
  CHECK(number_of(rows[12].settings, "weight-decay") == 0);
  // By hand: the same with an optimizer that is told each time.
  RunState plain = TinyTask::state();
  for (std::int64_t t = 0; t < kSteps; ++t) {
    LoopSettings s = settings();
    s.iterations = t + 1;
    s.clip = 0.5;
    s.eval_every = 1000;
    s.rate = [](std::int64_t u) { return 0.04 * (static_cast<double>(kSteps - u) / kSteps); };
    number_of(plain.optimizer.hyperparameters, "momentum") =
        number_of(rows[static_cast<std::size_t>(t)].settings, "momentum");
    number_of(plain.optimizer.hyperparameters, "weight_decay") = t < 12 ? 1e-3 : 0;
    run_loop(TinyTask{}.task(), plain, s, {});
  }
  CHECK(weights_sha256(plain.params) == weights_sha256(turned.params));
  RunState wrong = state_with({{"momentum", "0.5 @3up ; 1.5 @rest"}});
  CHECK_THROWS_WITH_AS(run(wrong, 0, kSteps), doctest::Contains("is 1.5 at update 3"), ConfigError);
}

TEST_CASE("a run with controllers that is killed in a window ends bit for bit as the whole one") {
  const std::vector<std::pair<std::string, std::string>> set{
      {"lr", "0.03 * plateau(.5, 1, 1) * volsched(4, .3, metric=train_loss)"},
      {"momentum", "0.5 * record(gnorm2)"},
      {"weight-decay", "autolrs(1e-4, 1e-1, stage=8, probe=6, probes=3, longest=16)"}};
  RunState whole = state_with(set);
  const std::vector<StepRow> rows = run(whole, 0, kSteps);
  CHECK(whole.knobs[1].controllers[0].series.size() == kSteps);
  CHECK(whole.search_ledger.total_bit_ops() > 0);
  for (const std::int64_t at : {3, 8, 13}) {
    RunState cut = state_with(set);
    run(cut, 0, at);
    const Checkpoint saved = parse_checkpoint(to_bytes(to_checkpoint(cut, "{}")));
    RunState resumed = state_with(set);
    restore(resumed, saved);
    const std::vector<StepRow> later = run(resumed, at, kSteps);
    CHECK(weights_sha256(resumed.params) == weights_sha256(whole.params));
    CHECK(later.back().settings == rows.back().settings);
    for (std::size_t i = 0; i < set.size(); ++i) {
      CHECK(save_state(resumed.knobs[i].schedule, {kSteps, resumed.knobs[i].controllers}) ==
            save_state(whole.knobs[i].schedule, {kSteps, whole.knobs[i].controllers}));
    }
    CHECK(resumed.search_ledger.total_bit_ops() == whole.search_ledger.total_bit_ops());
    RunState other =
        state_with({{"lr", "0.03 * plateau(.5, 2, 1) * volsched(4, .3)"}, set[1], set[2]});
    CHECK_THROWS_WITH_AS(restore(other, saved), doctest::Contains("saved under"), DataError);
  }
  // A search leaves no trace but what it found: as if that had been the schedule from the start.
  RunState replayed = state_with({set[0], set[1], {"weight-decay", "1 * record(gnorm1)"}});
  std::vector<double> found;
  for (const StepRow& row : rows) found.push_back(number_of(row.settings, "weight-decay"));
  const Schedule table = schedules::table(found);
  replayed.knobs[2] = Knob("weight-decay", table, table.bind(kSteps));
  run(replayed, 0, kSteps);
  CHECK(weights_sha256(replayed.params) == weights_sha256(whole.params));
  CHECK(replayed.ledger.total_bit_ops() == whole.ledger.total_bit_ops());
}

TEST_CASE(
    "settings of a task are turned before every pass, closed loops and evaluations included") {
  const Setting dropout = 0.5, theta = 100;
  Task task = TinyTask{}.task();
  task.settings = {{Hyperparameter::share("dropout", 0), dropout},
                   {Hyperparameter::positive("rope-theta", 1), theta}};
  std::vector<double> seen, scored;
  task.loss = [&, loss = task.loss](Pass& pass, std::int64_t t, std::int64_t part) {
    seen.push_back(dropout);
    return loss(pass, t, part);
  };
  task.splits[0].begin = [&, begin = task.splits[0].begin] {
    scored.push_back(theta);
    return begin();
  };
  RunState state = state_with({{"dropout", "0.4->0.2:lin"}, {"rope-theta", "10 @5up ; 20 @rest"}});
  LoopSettings s = settings();
  s.iterations = 8;
  run_loop(task, state, s, {});
  REQUIRE(seen.size() == 8);
  CHECK(seen[0] == 0.4);
  CHECK(seen[6] == 0.2 + (0.4 - 0.2) * (18.0 / 24));
  CHECK(scored == std::vector<double>{10, 10, 20, 20});  // after 2, 4, 6 and 8 updates
  // A resumed run is scored as its last update left it, before any other.
  theta.set(1);
  evaluate(task, task.splits[0], state, s);
  CHECK(scored.back() == 20);
  RunState wrong = state_with({{"dropout", "0.5 @3up ; 1 @rest"}});
  CHECK_THROWS_WITH_AS(run_loop(task, wrong, s, {}), doctest::Contains("is 1 at update 3"),
                       ConfigError);
  CHECK(knobs({"--set", "dropout=.1 * plateau(.5, 1)"}, true, task.settings)[0].value(0) == .1);
  CHECK_THROWS_WITH_AS(
      knobs({"--set", "dropout=0->1:lin @99% ; 1 @rest"}, true, task.settings),
      doctest::Contains("--set dropout at iteration 99: expected 0 to below 1, got 1"),
      ConfigError);
}

TEST_CASE("an update of several batches is one of a batch as large, and costs as predicted") {
  const Schedule multiplier = Schedule::parse("1 @2up ; 3 @rest");
  std::vector<std::pair<std::int64_t, std::int64_t>> seen;  // batch, part
  Task plain = TinyTask{.part_sizes = {4, 2}}.task();
  plain.loss = [&, loss = plain.loss](Pass& pass, std::int64_t t, std::int64_t part) {
    seen.emplace_back(t, part);
    return loss(pass, t, part);
  };
  const Task task = multiply_batches(plain, multiplier.bind(kSteps));
  CHECK(task.parts(1) == std::vector<std::int64_t>{4, 2});
  CHECK(task.parts(2) == std::vector<std::int64_t>{4, 2, 4, 2, 4, 2});
  CHECK(task.parts(1000).size() == 6);
  RunState state = TinyTask::state();
  const CostLedger predicted = predict(task, state.params, settings().plan, 4);
  LoopSettings s = settings();
  s.iterations = 4;
  std::vector<StepRow> rows;
  run_loop(task, state, s, {.step = [&](const StepRow& row) { rows.push_back(row); }});
  CHECK(predicted.total_bit_ops() == state.ledger.total_bit_ops());
  CHECK(rows[3].bit_ops == 3 * rows[1].bit_ops);
  std::vector<std::pair<std::int64_t, std::int64_t>> expected;
  for (std::int64_t batch = 0; batch < 8; ++batch) {
    expected.emplace_back(batch, 0);
    expected.emplace_back(batch, 1);
  }
  CHECK(seen == expected);
}

TEST_CASE("a controller whose metric nobody reports ends the run with what there is") {
  RunState update = state_with({{"lr", ".01 * plateau(.5, 1, metric=train_accuracy)"}}),
           evaluation = state_with({{"lr", ".01 * plateau(.5, 1, metric=val_accuracy)"}});
  CHECK_THROWS_WITH_AS(run(update, 0, kSteps), doctest::Contains("watches 'train_accuracy'"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(run(evaluation, 0, kSteps), doctest::Contains("val_negative_loss"),
                       ConfigError);
}

TEST_CASE("--set names knobs, and says what is wrong with one") {
  const std::vector<Knob> two =
      knobs({"--set", "lr=warm(3ep) 0.1->0:cos", "--set", "weight-decay=1e-3"});
  REQUIRE(two.size() == 2);
  CHECK(two[0].value(0) == doctest::Approx(0.1 / 30));
  CHECK(two[0].policy == LoadPolicy::rebind);
  const std::vector<Knob> closed = knobs({"--lr", "0.5", "--lr-schedule", "cos * plateau(.1, 2)"});
  REQUIRE(closed.size() == 1);
  CHECK(closed[0].value(0) == 0.5);
  CHECK(closed[0].policy == LoadPolicy::same);
  CHECK(knobs({"--lr-schedule", "cos"}).empty());
  const Options bits =
      options_of({"--set", "weight-bits=4", "--set", "gradient-bits=8 @50% ; 6 @rest"});
  CHECK(bits.text("weight-format") == "int4");
  CHECK(bits.text("gradient-bits") == "8 @50% ; 6 @rest");
  CHECK(bits.text("set").empty());

  CHECK(knobs({"--set", "lr=phases(.1, .2)", "--phase", "1"})[0].value(7) == 0.2);
  struct Case {
    std::vector<std::string> args;
    const char* says;
  };
  const Case cases[] = {
      {{"--set", "momentun=0.9"}, "unknown knob 'momentun'; did you mean 'momentum'?"},
      {{"--set", "beta1=0.9"}, "with --optimizer sgd"},
      {{"--set", "lr"}, "expected KNOB=EXPR"},
      {{"--set", "lr=1", "--set", "lr=2"}, "'lr' is set twice"},
      {{"--set", "lr=1->0:cso"}, "did you mean 'cos'"},
      {{"--set", "lr=1", "--lr", "0.5"}, "leave these out"},
      {{"--set", "momentum=.9", "--momentum", "0.5"}, "--momentum would; leave it out"},
      {{"--set", "weight-bits=4", "--weight-format", "int8"}, "are the same"},
      {{"--set", "lr=plateau(.1, 2, metric=loudness)"}, "nobody reports the metric 'loudness'"},
      {{"--set", "weight-bits=round(8 * plateau(.5, 1))"}, "has a controller, but bits"},
      {{"--bits", "round(8 * plateau(.5, 1))"}, "has a controller, but bits"},
      {{"--set", "lr=phases(.1, .2)", "--phase", "2"}, "expected a phase from 0 to 1, got 2"},
      {{"--set", "lr=.1", "--phase", "1"}, "has no effect without phases"},
      {{"--set", "eps=1e-3", "--epsilon", "1e-8", "--optimizer", "adam"}, "all that --epsilon"},
      {{"--set", "momentum=0.5->1.5:lin"}, "--set momentum at iteration 50: expected 0 to below 1"},
      {{"--set", "lr=1->-1:lin"}, "--set lr at iteration 51: expected 0 and more"},
      {{"--set", "dropout=0.5"}, "unknown knob 'dropout'"},
      {{"--set", "lr=group{fc: 1, *: 2}"}, "no parts for group"}};
  for (const Case& c : cases) {
    CAPTURE(c.args.back());
    CHECK_THROWS_WITH_AS(knobs(c.args), doctest::Contains(c.says), ConfigError);
  }
  CHECK_THROWS_WITH_AS(knobs({"--set", "lr=plateau(.1, 2)"}, false),
                       doctest::Contains("nothing is scored"), ConfigError);
}
