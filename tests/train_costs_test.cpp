#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "schedules/cpt.h"
#include "tests/train_tiny_task.h"
#include "train/costs.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::train;

namespace {

Options options_with(const std::string& schedule, const std::string& bits = "") {
  Options options;
  options.set("schedule", schedule);
  options.set("bits", bits);
  options.set("lr", "0.5");
  options.set("lr-schedule", "1");
  return options;
}

// The ledger of a run of 30 steps with evaluations on the way.
CostLedger ledger_of_run(const Task& task, RunState& state, const Precision& precision) {
  LoopSettings settings{.iterations = 30, .key = Key(1)};
  settings.plan = precision.plan;
  settings.rate = [](std::int64_t) { return 0.01; };
  settings.evaluation_plan = precision.evaluation;
  settings.eval_every = settings.save_every = 7;
  run_loop(task, state, settings, {});
  return state.ledger;
}

}  // namespace

TEST_CASE("the predicted ledger is the one that the run ends with, to the bit-operation") {
  for (const std::string& name : precision_schedule_names()) {
    for (const std::vector<std::int64_t>& parts : {std::vector<std::int64_t>{6}, {3, 2, 2}}) {
      CAPTURE(name);
      // The last batch of an epoch is short, as with real data.
      Task task = TinyTask{.part_sizes = parts}.task();
      const Precision precision =
          resolve_precision(options_with(name), {.updates = 30, .updates_per_epoch = 4});
      RunState state = TinyTask::state();
      const std::string before = weights_sha256(state.params);
      const CostLedger predicted = predict(task, state.params, precision.plan, 30);
      CHECK(weights_sha256(state.params) == before);

      const CostLedger done = ledger_of_run(task, state, precision);
      CHECK(predicted.total_bit_ops() == done.total_bit_ops());
      CHECK(predicted.paper_bit_ops() == done.paper_bit_ops());
      CHECK(predicted.total_macs() == done.total_macs());
      const RelativeCost cost = relative_cost(done, precision.costs);
      // Half the products of this task are forward (q^2 of 64) and half weight gradients (8 q of
      // 64); static has both at 64.
      if (name == "static") CHECK(cost.exact == 1.0);
      if (name == "static") CHECK(cost.paper == 1.0);
      if (name == "fp32") CHECK(cost.exact == 16.0);
    }
  }
}

TEST_CASE("a run with groups is predicted to the bit-operation too") {
  const std::vector<Site> sites{{"fc", {"first"}}};
  // Weights alone change; the activations stay; then the layer alone changes.
  for (const char* bits :
       {"group{weight: round(2->6 : lin), activation: 4, *: 8}",
        "group{fc: round(2->6 : lin), *: 4}", "group{fc.gradient: round(2->6 : lin), *: 4}"}) {
    CAPTURE(bits);
    const Task task = TinyTask{}.task();
    RunState state = TinyTask::state();
    const Precision precision =
        resolve_precision(options_with("CR", bits), {.updates = 30}, sites, state.params);
    const CostLedger predicted = predict(task, state.params, precision.plan, 30);
    const CostLedger done = ledger_of_run(task, state, precision);
    CHECK(predicted.total_bit_ops() == done.total_bit_ops());
    CHECK(predicted.paper_bit_ops() == done.paper_bit_ops());
  }
  // 30 steps of two products of 36 MACs each, forward at 4 x 2 and the weight gradient at 4 x 8; in
  // the papers' accounting, of all three products, 4 x 2 + 8 x 2 + 4 x 8.
  const Precision fixed = resolve_precision(
      options_with("CR", "group{weight: 2, activation: 4, *: 8}"), {.updates = 30}, sites);
  const CostLedger ledger = predict(TinyTask{}.task(), TinyTask::state().params, fixed.plan, 30);
  CHECK(ledger.total_bit_ops() == 30 * 36 * (8 + 32));
  CHECK(ledger.paper_bit_ops() == 30 * 36 * (8 + 16 + 32));
  CHECK(distinct_plans(
            [](std::int64_t t) {
              return PrecisionPlan::uniform(Format::integer(2 + t % 3), Format::integer(8));
            },
            100)
            .size() == 3);
}

TEST_CASE(
    "one training has one cost: the reference is what --cost-reference says, whichever options "
    "made the bits") {
  struct Case {
    const char* why;
    const char *schedule, *bits;
    std::int64_t max_bits;
    const char *keep, *reference;
    double exact;
  };
  // The task has as many forward MACs (w a bits each) as those of the weight's gradient (a g): 4
  // bits of 8/8/8 are (16 + 32) / 128.
  const Case cases[] = {
      {"a static schedule", "static", "", 4, "", "8/8/8", 0.375},
      {"the same as an expression", "CR", "4", 8, "", "8/8/8", 0.375},
      {"float32 under any --max-bits", "fp32", "", 4, "", "8/8/8", 16},
      {"and as an expression", "CR", "fp32", 8, "", "8/8/8", 16},
      {"exempted layers count as they are, the reference exempts none", "static", "", 8, "fc",
       "8/8/8", 16},
      {"another reference", "static", "", 4, "", "4/4/8", 1},
      {"unequal widths: (16 + 32) / (2 x 4 + 4 x 16)", "static", "", 4, "", "2/4/16", 48.0 / 72.0},
      {"of float32", "static", "", 8, "", "fp32/fp32/fp32", 1.0 / 16}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Options options = options_with(c.schedule, c.bits);
    options.set("max-bits", to_text(c.max_bits));
    options.set("keep-fp32", c.keep);
    options.set("cost-reference", c.reference);
    const Task task = TinyTask{}.task();
    const Precision precision = resolve_precision(options, {.updates = 3, .updates_per_epoch = 4});
    const RelativeCost cost =
        relative_cost(predict(task, TinyTask::state().params, precision.plan, 3), precision.costs);
    CHECK(cost.exact == c.exact);
    CHECK(cost_reference_text(cost.basis.reference) == c.reference);
  }
}

TEST_CASE("nothing multiplied costs as much as the reference") {
  const RelativeCost cost = relative_cost(CostLedger{}, {parse_cost_reference("8/8/8")});
  CHECK(cost.exact == 1.0);
  CHECK(cost.paper == 1.0);
}
