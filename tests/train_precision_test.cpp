#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "schedules/cpt.h"
#include "tests/train_tiny_task.h"
#include "train/precision.h"

using namespace ebb;
using namespace ebb::train;

namespace {

Options options_with(const std::string& schedule) {
  Options options;
  options.schedule = schedule;
  options.lr = 0.5;
  options.lr_schedule = "1";
  return options;
}

template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every named schedule becomes plans of the widths it prescribes") {
  for (const std::string& name : precision_schedule_names()) {
    CAPTURE(name);
    const Precision precision = resolve_precision(options_with(name), {.updates = 400});
    const Bound bits = precision_schedule(name).bind(400);
    for (std::int64_t t = 0; t < 400; ++t) {
      const SiteFormats formats = precision.plan(t).formats;
      const bool fp32 = name == "fp32";
      CHECK(formats.weight == (fp32 ? Format::fp32() : Format::integer(bits.value(t).bits())));
      CHECK(formats.activation == formats.weight);
      CHECK(formats.gradient == (fp32 ? Format::fp32() : Format::integer(8)));
    }
    CHECK(precision.evaluation.formats.activation == (name == "fp32" ? Format::fp32() : Format::integer(8)));
    CHECK(precision.reference.formats.activation == Format::integer(8));
  }
}

TEST_CASE("expressions may mix widths and float32, whose gradients stay float32") {
  Options options = options_with("CR");
  options.bits = "fp32 @10% ; round(3->8 : lin) @rest";
  options.lr_schedule = "1->0 : lin";
  options.eval_bits = "fp32";
  options.gradient_bits = "6";
  options.grid = "symmetric";
  options.accumulator = "sat20";
  options.keep_fp32 = "first,last";
  const Precision precision = resolve_precision(options, {.updates = 100});
  CHECK(precision.plan(9).formats == SiteFormats::fp32());
  CHECK(precision.plan(10).formats == SiteFormats{Format::integer(3), Format::integer(3), Format::integer(6)});
  CHECK(precision.plan(99).formats.weight == Format::integer(8));
  CHECK(precision.plan(99).grid == GridStyle::symmetric);
  CHECK(precision.plan(99).encoding({"conv2", {}}, Role::gradient).grid == GridStyle::symmetric);
  options.gradient_grid = "affine";
  CHECK(resolve_precision(options, {.updates = 100}).plan(99).encoding({"conv2", {}}, Role::gradient).grid == GridStyle::affine);
  CHECK(precision.plan(99).accumulator == Accumulator::saturate(20));
  CHECK(precision.plan(99).at({"conv1", {"first"}}) == SiteFormats::fp32());
  CHECK(precision.plan(99).at({"conv2", {}}) != SiteFormats::fp32());
  CHECK(precision.evaluation.formats.activation == Format::fp32());
  CHECK(precision.rate(0) == 0.5);
  CHECK(precision.rate(50) == 0.25);
}

TEST_CASE("expressions that are wrong, or no widths, are refused before anything is trained") {
  struct Case {
    const char* bits;
    const char* rate;
    const char* expected;
  };
  const Case cases[] = {
      {"round(3->8 : cycle(8 cos)", "1", "^"},
      {"3->8 : lin", "1", "may yield fractions, which are no widths; wrap it in round(...)"},
      {"round(3->20 : lin)", "1", "at iteration"},
      {"0", "1", "at iteration 0"},
      {"bf16", "1", "bf16"},
      {"4", "1->0 : coz", "cos"},
      {"4 @20% ; 8 @30%", "1", "fill 50 of 100 updates"},
      {"4", "sqrt(affine(update, -1, 5))", "--lr-schedule at iteration 6: expected a finite factor of 0 and more"},
      {"4", "affine(lin, 1, -.5)", "--lr-schedule at iteration 51: expected a finite factor of 0 and more"},
      {"4", "fp32", "--lr-schedule at iteration 0"},
      {"4", "1 @3ep ; 0 @rest", "ep"}};
  for (const Case& c : cases) {
    CAPTURE(c.bits);
    Options options = options_with("CR");
    options.bits = c.bits;
    options.lr_schedule = c.rate;
    const std::string message = error_of([&] { resolve_precision(options, {.updates = 100}); });
    CAPTURE(message);
    CHECK(contains(message, c.expected));
  }
  Options options = options_with("CX");
  CHECK(contains(error_of([&] { check_expressions(options); }), "CR"));
}

TEST_CASE("the predicted ledger is the one that the run ends with, to the bit-operation") {
  for (const std::string& name : precision_schedule_names()) {
    for (const std::vector<std::int64_t>& parts : {std::vector<std::int64_t>{6}, {3, 2, 2}}) {
      CAPTURE(name);
      // The last batch of an epoch is short, as with real data.
      Task task = TinyTask{.part_sizes = parts}.task();
      const Precision precision = resolve_precision(options_with(name), {.updates = 30, .updates_per_epoch = 4});
      RunState state = TinyTask::state();
      const CostLedger example = count_example(task, state.params);
      const std::string before = weights_sha256(state.params);
      const CostLedger predicted = predict(example, task, precision.plan, 30);
      CHECK(weights_sha256(state.params) == before);

      LoopSettings settings{.iterations = 30, .key = Key(1)};
      settings.plan = precision.plan;
      settings.rate = [](std::int64_t) { return 0.01; };
      settings.evaluation_plan = precision.evaluation;
      settings.eval_every = settings.save_every = 7;
      run_loop(task, state, settings, {});
      CHECK(predicted.total_bit_ops() == state.ledger.total_bit_ops());
      CHECK(predicted.paper_bit_ops() == state.ledger.paper_bit_ops());
      CHECK(predicted.total_macs() == state.ledger.total_macs());
      const RelativeCost cost = relative_cost(state.ledger, precision.reference);
      // Half the products of this task are forward (q^2 of 64) and half weight gradients (8 q of 64); static has both at 64.
      if (name == "static") CHECK(cost.exact == 1.0);
      if (name == "static") CHECK(cost.paper == 1.0);
      if (name == "fp32") CHECK(cost.exact == 16.0);
    }
  }
}

TEST_CASE("layers kept in float32 must exist") {
  const std::vector<CostLedger::Row> sites{{{"conv1", {"first"}}, {}}, {{"stage1.block1.conv2", {}}, {}}};
  for (const char* known : {"", "first", "last", "shortcut", "conv1", "stage1", "stage1.block1", "conv1,last"}) {
    CAPTURE(known);
    Options options;
    options.keep_fp32 = known;
    CHECK_NOTHROW(check_keep_fp32(options, sites));
  }
  Options options;
  options.keep_fp32 = "first,conv9";
  CHECK(contains(error_of([&] { check_keep_fp32(options, sites); }), "unknown layer 'conv9'; did you mean 'conv1'?"));
}

TEST_CASE("nothing multiplied costs as much as the reference") {
  const RelativeCost cost = relative_cost(CostLedger{}, PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
  CHECK(cost.exact == 1.0);
  CHECK(cost.paper == 1.0);
}
