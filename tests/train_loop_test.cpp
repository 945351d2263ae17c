#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/train_tiny_task.h"
#include "train/loop.h"

using namespace ebb;
using namespace ebb::train;

namespace {

// 32 bits stand for fp32.
RoleFormats in_bits(int weight, int activation, std::optional<int> gradient, bool by_site = false) {
  const auto format = [](int bits) { return bits == 32 ? Format::fp32() : Format::integer(bits); };
  return {format(weight), format(activation),
          gradient ? std::optional(format(*gradient)) : std::nullopt, by_site};
}

LoopSettings settings(std::int64_t iterations) {
  LoopSettings s{.iterations = iterations, .key = Key(5)};
  s.plan = [](std::int64_t t) {
    return PrecisionPlan::uniform(Format::integer(3 + t % 6), Format::integer(8));
  };
  s.rate = [](std::int64_t) { return 0.02; };
  s.evaluation_plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
  s.eval_every = 4;
  s.save_every = 5;
  return s;
}

LoopSettings settings_fp32(std::int64_t iterations) {
  LoopSettings s = settings(iterations);
  s.plan = [](std::int64_t) { return PrecisionPlan::fp32(); };
  return s;
}

std::string sha_after(const Task& task, const LoopSettings& s) {
  RunState state = TinyTask::state();
  CHECK(run_loop(task, state, s, {}) == Outcome::finished);
  return weights_sha256(state.params);
}

}  // namespace

TEST_CASE("a run learns, and saves before it evaluates, since an evaluation may take long") {
  const Task task = TinyTask{}.task();
  RunState state = TinyTask::state();
  std::vector<std::string> events;
  std::vector<StepRow> steps;
  std::vector<EvalRow> evaluations;
  const LoopEvents report{
      .step =
          [&](const StepRow& row) {
            steps.push_back(row);
            events.push_back(concat("step ", row.iteration));
          },
      .evaluation =
          [&](const EvalRow& row) {
            evaluations.push_back(row);
            events.push_back(concat(row.split, ' ', row.iteration));
          },
      .save = [&](const RunState& s) { events.push_back(concat("save ", s.iteration)); }};
  CHECK(run_loop(task, state, settings(10), report) == Outcome::finished);
  const std::vector<std::string> expected{
      "step 0", "step 1",  "step 2",        "step 3",  "validation 4", "step 4",
      "save 5", "step 5",  "step 6",        "step 7",  "validation 8", "step 8",
      "step 9", "save 10", "validation 10", "test 10", "save 10"};
  CHECK(events == expected);
  CHECK(steps[9].loss < 0.5 * steps[0].loss);
  CHECK(steps[7].epoch == 1);
  CHECK(steps[4].formats == in_bits(7, 7, 8));

  // Two products of 6 x 3 x 2 MACs a step: forward at q x q and the weight gradient at q x 8 (the
  // input needs none).
  uint128 total = 0, paper = 0;
  for (const StepRow& row : steps) {
    const auto q = static_cast<unsigned>(row.formats.weight.width);
    CHECK(row.bit_ops == 36 * (q * q + q * 8));
    total += row.bit_ops;
    paper += 36 * (q * q + 2 * q * 8);
  }
  CHECK(state.ledger.total_bit_ops() == total);
  CHECK(state.ledger.paper_bit_ops() == paper);
  CHECK(state.ledger.iterations() == 10);
  for (const EvalRow& row : evaluations) CHECK(row.bit_ops == 2 * 36 * 64);
  CHECK(state.evaluation_ledger.total_bit_ops() == 4 * 2 * 36 * 64);
  CHECK(evaluations.back().score == -evaluations.back().loss);
}

TEST_CASE("stopped anywhere and resumed from the checkpoint's bytes, a run ends in the same bits") {
  const Task task = TinyTask{.part_sizes = {3, 2}}.task();
  for (const bool fp32 : {false, true}) {
    const LoopSettings whole = fp32 ? settings_fp32(17) : settings(17);
    RunState straight = TinyTask::state();
    run_loop(task, straight, whole, {});
    for (std::int64_t cut = 1; cut < 17; cut += 3) {
      CAPTURE(cut);
      volatile std::sig_atomic_t stop = 0;
      LoopSettings first = whole;
      first.stop = &stop;
      RunState state = TinyTask::state();
      std::string saved;
      const LoopEvents events{
          .step = [&](const StepRow& row) { stop = row.iteration + 1 == cut ? 1 : 0; },
          .save = [&](const RunState& s) { saved = to_bytes(to_checkpoint(s, "{}")); }};
      CHECK(run_loop(task, state, first, events) == Outcome::stopped);
      CHECK(state.iteration == cut);

      RunState resumed = TinyTask::state();
      restore(resumed, parse_checkpoint(saved));
      CHECK(resumed.iteration == cut);
      CHECK(run_loop(task, resumed, whole, {}) == Outcome::finished);
      CHECK(weights_sha256(resumed.params) == weights_sha256(straight.params));
      CHECK(resumed.ledger == straight.ledger);
      CHECK(resumed.evaluation_ledger == straight.evaluation_ledger);
    }
  }
}

TEST_CASE(
    "a plateau lowers the rate for good at each evaluation without a new low, also across a "
    "resumed run") {
  Task task = TinyTask{}.task();
  LoopSettings s = settings(24);
  s.rate = [](std::int64_t) { return 2.0; };  // far too fast, so that the loss rises
  s.save_every = 6;
  const auto start = [] {
    RunState state = TinyTask::state();
    state.controllers.push_back(make_controller("plateau", {{"factor", 0.25}}));
    return state;
  };
  RunState whole = start(), cut = start();
  std::vector<EvalRow> evaluations;
  std::vector<StepRow> steps;
  std::string saved;
  run_loop(task, whole, s,
           {.step = [&](const StepRow& row) { steps.push_back(row); },
            .evaluation = [&](const EvalRow& row) { evaluations.push_back(row); },
            .save =
                [&](const RunState& state) {
                  if (state.iteration == 12) saved = to_bytes(to_checkpoint(state, "{}"));
                }});
  double lowest = std::numeric_limits<double>::infinity(), rate = 2.0;
  for (std::size_t i = 0; i + 1 < evaluations.size(); ++i) {  // the last one is of the second split
    CHECK(steps[4 * i].learning_rate == rate);
    if (!(evaluations[i].loss < lowest)) rate *= 0.25;
    lowest = std::min(lowest, evaluations[i].loss);
  }
  CHECK(rate < 2.0);
  CHECK(whole.controllers[0].value() == rate / 2.0);

  restore(cut, parse_checkpoint(saved));
  run_loop(task, cut, s, {});
  CHECK(weights_sha256(cut.params) == weights_sha256(whole.params));
  CHECK(cut.controllers[0].state == whole.controllers[0].state);
  RunState without = TinyTask::state();
  without.controllers.push_back(make_controller("plateau"));
  CHECK_THROWS_AS(restore(without, to_checkpoint(TinyTask::state(), "{}")), DataError);
}

TEST_CASE(
    "a plateau counts losses that are NaN and neither lowers the rate for them nor takes them for "
    "a low") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                   inf = std::numeric_limits<double>::infinity();
  struct Case {
    std::vector<double> losses;
    double lowest, multiplier;
    std::int64_t ignored;
  };
  const Case cases[] = {{{nan, nan}, inf, 1, 2},
                        {{2, nan, 1}, 1, 1, 1},    // the low after it is one
                        {{2, nan, 2}, 2, 0.5, 1},  // and what is none stays none
                        {{2, inf}, 2, 0.5, 0}};    // an infinite loss is a number, and no low
  for (const Case& c : cases) {
    RunState state = TinyTask::state(), restored = TinyTask::state();
    const Controller plateau = make_controller("plateau", {{"factor", 0.5}});
    state.controllers = restored.controllers = {plateau};
    for (const double loss : c.losses)
      state.controllers[0].observe(
          {.event = Observation::Event::evaluation, .numbers = {{"loss", loss}}});
    restore(restored, to_checkpoint(state, "{}"));
    for (const Controller& controller : {state.controllers[0], restored.controllers[0]}) {
      CHECK(number_of(controller.state, "best") == c.lowest);
      CHECK(controller.value() == c.multiplier);
      CHECK(number_of(controller.state, "ignored") == static_cast<double>(c.ignored));
    }
  }
}

TEST_CASE("evaluating, measuring and saving never change a result") {
  const Task task = TinyTask{}.task();
  LoopSettings often = settings(12), seldom = settings(12);
  often.eval_every = often.save_every = 1;
  often.statistics_every = 2;
  seldom.eval_every = seldom.save_every = 100;
  RunState state = TinyTask::state();
  std::vector<std::int64_t> measured;
  const LoopEvents events{.save = [](const RunState& s) { to_checkpoint(s, ""); },
                          .statistics =
                              [&](std::int64_t t, const std::vector<OperandQuality>& rows) {
                                measured.push_back(t);
                                CHECK(rows.size() == 3);  // input, weight, gradient
                              }};
  run_loop(task, state, often, events);
  CHECK(weights_sha256(state.params) == sha_after(task, seldom));
  CHECK(measured == std::vector<std::int64_t>{0, 2, 4, 6, 8, 10});
}

TEST_CASE("micro-batches give the gradient of the whole batch, whatever their sizes") {
  RunState whole = TinyTask::state(), parts = TinyTask::state();
  std::vector<double> losses[2];
  const auto keep = [&](int i) {
    return LoopEvents{.step = [&losses, i](const StepRow& row) { losses[i].push_back(row.loss); }};
  };
  run_loop(TinyTask{.part_sizes = {6}}.task(), whole, settings_fp32(5), keep(0));
  run_loop(TinyTask{.part_sizes = {3, 2, 1}}.task(), parts, settings_fp32(5), keep(1));
  // Only the order of a few float32 additions differs: far below 1e-5 for values near 1.
  for (std::size_t i = 0; i < 5; ++i)
    CHECK(losses[0][i] == doctest::Approx(losses[1][i]).epsilon(1e-5));
  for (std::int64_t i = 0; i < 6; ++i)
    CHECK(whole.params[ParamId{0}][i] ==
          doctest::Approx(parts.params[ParamId{0}][i]).epsilon(1e-5));
}

TEST_CASE("clipping bounds the step") {
  LoopSettings s = settings_fp32(1);
  s.clip = 1e-3;
  RunState state = TinyTask::state();
  state.optimizer = make_optimizer("sgd", {{"momentum", 0.0}});
  const Tensor before = state.params[ParamId{0}];
  run_loop(TinyTask{}.task(), state, s, {});
  double squares = 0;
  for (std::int64_t i = 0; i < 6; ++i)
    squares += std::pow(static_cast<double>(state.params[ParamId{0}][i] - before[i]), 2);
  CHECK(std::sqrt(squares) == doctest::Approx(0.02 * 1e-3).epsilon(0.01));
}

TEST_CASE(
    "what is not finite stops the run before the optimizer step and leaves the last checkpoint") {
  const float infinity = std::numeric_limits<float>::infinity();
  struct Case {
    const char* why;
    bool fp32;
    float value;
    const char* expected;
  };
  const Case cases[] = {
      {"infinite input, int", false, infinity,
       "[train] iteration 7: [fc] activation: a NaN or infinite value"},
      {"infinite input, fp32", true, infinity,
       "[train] iteration 7: [fc] activation: a NaN or infinite value"},
      {"overflowing loss, int", false, 1e30f, "[train] iteration 7: the loss is inf"},
      {"overflowing loss, fp32", true, 1e30f, "[train] iteration 7: the loss is inf"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    RunState state = TinyTask::state();
    std::vector<std::int64_t> saved;
    Tensor after_last_step;
    const LoopEvents events{
        .step = [&](const StepRow&) { after_last_step = state.params[ParamId{0}]; },
        .save = [&](const RunState& s) { saved.push_back(s.iteration); }};
    std::string message;
    try {
      run_loop(TinyTask{.bad_step = 7, .bad_value = c.value}.task(), state,
               c.fp32 ? settings_fp32(10) : settings(10), events);
    } catch (const NonFiniteError& error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.find(c.expected) != std::string::npos);
    CHECK(state.iteration == 7);
    CHECK(state.params[ParamId{0}] == after_last_step);
    CHECK(saved == std::vector<std::int64_t>{5});
  }
}

TEST_CASE(
    "an update that overflows stops the run, names the parameter and leaves the last checkpoint") {
  for (const std::int64_t bad_step : {7, 9}) {  // within the run, and its last
    RunState state = TinyTask::state();
    state.optimizer = make_optimizer("adam");
    std::vector<std::int64_t> saved;
    const LoopEvents events{.save = [&](const RunState& s) { saved.push_back(s.iteration); }};
    std::string message;
    try {  // a batch of 1e12 has a gradient of about 1e24, whose square is beyond float32
      run_loop(TinyTask{.bad_step = bad_step, .bad_value = 1e12f}.task(), state, settings_fp32(10),
               events);
    } catch (const NonFiniteError& error) {
      message = error.what();
    }
    CHECK(message.starts_with(
        concat("[train] iteration ", bad_step, ": [step] the update of 'fc.weight' overflowed")));
    CHECK_FALSE(saved.empty());
    CHECK(saved.back() < bad_step);
  }
}

TEST_CASE("a checkpoint of what is not finite is refused, whatever made it so") {
  RunState state = TinyTask::state();
  state.params["fc.input_range"][1] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(
      to_checkpoint(state, "{}"),
      "[checkpoint] 'fc.input_range' holds an infinity or a NaN: nothing could go on from it",
      NonFiniteError);
}

TEST_CASE("a gradient that is not finite names its parameter") {
  Task task = TinyTask{}.task();
  const auto loss = task.loss;
  task.loss = [loss](Pass& pass, std::int64_t t, std::int64_t part) {
    const Var y = loss(pass, t, part).value;
    return pass.tape.record(Tensor::scalar(pass.tape[y].item()), {y},
                            [y](const Tensor&, Adjoints& grads) {
                              grads.add(y, Tensor::scalar(std::numeric_limits<float>::infinity()));
                            });
  };
  RunState state = TinyTask::state();
  CHECK_THROWS_WITH_AS(run_loop(task, state, settings_fp32(3), {}),
                       doctest::Contains("iteration 0: the gradient of 'fc.weight' is not finite"),
                       NonFiniteError);
}

TEST_CASE(
    "without a plan of their own, evaluations have that of the last update, also when resumed or "
    "repeated") {
  const Task task = TinyTask{}.task();
  RunState state = TinyTask::state();
  LoopSettings s = settings(10);
  s.evaluation_plan.reset();
  std::vector<EvalRow> evaluations;
  run_loop(task, state, s, {.evaluation = [&](const EvalRow& row) { evaluations.push_back(row); }});
  REQUIRE(evaluations.size() == 4);
  // plan(t) has 3 + t mod 6 bits; evaluations come after 4, 8 and 10 updates
  CHECK(evaluations[0].formats == in_bits(6, 6, std::nullopt));
  CHECK(evaluations[1].formats == in_bits(4, 4, std::nullopt));
  CHECK(evaluations[2].formats == in_bits(6, 6, std::nullopt));
  CHECK(evaluate(task, task.splits[1], state, s).score == evaluations[3].score);
  CHECK(evaluation_plan(s, 0).base.weight.format ==
        Format::integer(3));  // before any update: that of the first
  CHECK_THROWS_AS(static_cast<void>(evaluation_plan(LoopSettings{}, 5)), ConfigError);
}

TEST_CASE(
    "the bits of a record are those of the operands that there were, and say by_site where layers "
    "differ") {
  const auto formats = [](int weight, int activation, int gradient) {
    return SiteFormats{Format::integer(weight), Format::integer(activation),
                       Format::integer(gradient)};
  };
  struct Case {
    const char* why;
    std::map<std::string, SiteFormats, std::less<>> sites;
    std::vector<std::string> keep_fp32;
    RoleFormats training, evaluation;
  };
  constexpr std::nullopt_t none = std::nullopt;
  const Case cases[] = {
      {"all alike", {}, {}, in_bits(4, 5, 8), in_bits(4, 5, none)},
      {"a group that changes nothing",
       {{"conv", formats(4, 5, 8)}},
       {},
       in_bits(4, 5, 8),
       in_bits(4, 5, none)},
      {"one layer has others",
       {{"conv", formats(8, 5, 8)}},
       {},
       in_bits(4, 5, 8, true),
       in_bits(4, 5, none, true)},
      {"only its gradients differ",
       {{"conv", formats(4, 5, 6)}},
       {},
       in_bits(4, 5, 8, true),
       in_bits(4, 5, none)},
      {"one layer is exempted", {}, {"last"}, in_bits(4, 5, 8, true), in_bits(4, 5, none, true)},
      {"all layers are", {}, {"conv", "last"}, in_bits(32, 32, 32), in_bits(32, 32, none)},
      {"no layer has the common ones",
       {{"conv", formats(2, 2, 8)}, {"fc", formats(3, 3, 8)}},
       {},
       in_bits(2, 2, 8, true),
       in_bits(2, 2, none, true)},
      {"a name that nothing has",
       {{"pool", formats(8, 8, 8)}},
       {"shortcut"},
       in_bits(4, 5, 8),
       in_bits(4, 5, none)}};
  const Format any = Format::integer(4);
  CostLedger training, evaluation;
  for (const Site& site : {Site{"conv"}, Site{"fc", {"last"}}}) {
    evaluation.charge(site, Product::forward, 10, any, any);
    for (const Product product : {Product::forward, Product::grad_right})
      training.charge(site, product, 10, any, any);
  }
  for (const Case& c : cases) {
    CAPTURE(c.why);
    PrecisionPlan plan;
    plan.base.set_formats(formats(4, 5, 8));
    for (const auto& [site, own] : c.sites)
      plan.rules.push_back({site, Numerics{}.set_formats(own), true});
    plan.keep_fp32(c.keep_fp32);
    CHECK(role_formats(plan, training) == c.training);
    CHECK(role_formats(plan, evaluation) == c.evaluation);
  }
}

TEST_CASE(
    "parameters can have rates of their own, which the plateau multiplies like the common one") {
  const Task task = TinyTask{}.task();
  LoopSettings s = settings(10);
  const std::string alike = sha_after(task, s);
  s.rates = [](std::int64_t) { return std::vector<double>{0.02, 0.0}; };
  CHECK(sha_after(task, s) == alike);  // the second entry is no parameter
  s.rates = [](std::int64_t) { return std::vector<double>{0.0, 0.02}; };
  RunState state = TinyTask::state();
  const Tensor before = state.params.entries()[0].value;
  run_loop(task, state, s, {.step = [](const StepRow& row) { CHECK(row.learning_rate == 0.02); }});
  CHECK(state.params.entries()[0].value == before);
  s.rates = [](std::int64_t) { return std::vector<double>{0.02}; };
  CHECK_THROWS_AS(run_loop(task, state = TinyTask::state(), s, {}), ShapeError);
}
