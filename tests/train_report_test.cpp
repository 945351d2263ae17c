#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "tests/scratch.h"
#include "tests/train_tiny_task.h"
#include "train/app/evaluation.h"
#include "train/app/inspect.h"
#include "train/app/overflows.h"
#include "train/app/report.h"
#include "train/app/tables.h"
#include "train/config.h"

using namespace ebb;
using namespace ebb::train;
using Json = nlohmann::json;

namespace {

RunConfig config() {
  const Options options({{.name = "data", .value = "DIR"}}, {{"lr", "0.02"},
                                                             {"lr-schedule", "1"},
                                                             {"iterations", "6"},
                                                             {"batch", "128"},
                                                             {"data", "tiny \"quoted\""}});
  RunConfig config{.program = "ebb-test", .options = option_texts(options, true)};
  config.resolved = {{"iterations", "6"}, {"steps_per_epoch", "4"}};
  config.data = {{"training", "0123"}, {"number", "1e400"}, {"zeros", "007"}};
  return config;
}

}  // namespace

TEST_CASE("a configuration comes back from its JSON, where numbers are numbers") {
  CHECK(parse_config(to_json(config())) == config());
  const Json json = Json::parse(to_json(config()));
  CHECK(json["options"]["batch"] == 128);
  CHECK(json["options"]["lr"] == 0.02);
  CHECK(json["options"]["simulate"] == false);
  CHECK(json["data"]["zeros"] == "007");  // as a number it would lose its zeros
  struct Case {
    const char *text, *what;
  };
  for (const Case& c : {Case{"", "no JSON from byte 1 on"},
                        {"{\"program\": ebb", "no JSON from byte 13 on"},
                        {"{}", "expected an object with program, options"},
                        {"[]", "expected an object with program, options"},
                        {"{\"program\": 1}", "expected an object with program, options"}}) {
    CAPTURE(c.text);
    CHECK_THROWS_WITH_AS(parse_config(c.text), doctest::Contains(c.what), DataError);
  }
}

TEST_CASE("a summary is one JSON object with what scripts read") {
  const Task task = TinyTask{}.task();
  RunState state = TinyTask::state();
  LoopSettings settings{.iterations = 6, .key = Key(1)};
  settings.plan = [](std::int64_t) {
    return PrecisionPlan::uniform(Format::integer(4), Format::integer(8));
  };
  settings.rate = [](std::int64_t) { return 0.02; };
  settings.evaluation_plan = settings.plan(0);
  settings.eval_every = settings.save_every = 6;
  History history;
  const LoopEvents events{
      .step = [&](const StepRow& row) { history.steps.push_back(row); },
      .evaluation = [&](const EvalRow& row) { history.evaluations.push_back(row); }};
  run_loop(task, state, settings, events);
  for (std::size_t i = 0; i < 6; ++i)
    history.steps[i].seconds = i == 0 ? 100.0 : static_cast<double>(i);  // median of 100 1 2 3 4 5

  const SiteFormats reference = parse_cost_reference("8/8/8");
  const Json json = Json::parse(
      to_json(summarize(history, state, task, {reference}, settings.plan(0), Simd::scalar)));
  CHECK(json["test_negative_loss"] == history.evaluations.back().score);
  CHECK(json["seconds_per_step"] == 3.5);
  // The last epoch is four steps long.
  double loss = 0;
  for (std::size_t i = 2; i < 6; ++i) loss += history.steps[i].loss;
  CHECK(json["train_loss"] == loss / 4);
  CHECK(json["bit_ops"] == std::to_string(6 * 36 * (16 + 32)));
  CHECK(json["relative_cost"] == (16.0 + 32.0) / 128.0);
  CHECK(json["relative_cost_paper"] == (16.0 + 64.0) / 192.0);
  CHECK(json["cost_reference"] == "8/8/8");
  CHECK(json["iterations"] == 6);
  CHECK(json["weights_sha256"] == weights_sha256(state.params));
  CHECK(json["peak_rss_bytes"] > 1000000);
  CHECK(json["kernel"].is_string());
  CHECK(Json::parse(to_json(
      summarize({}, state, task, {reference}, settings.plan(0), Simd::scalar)))["train_loss"]
            .is_null());
}

TEST_CASE("an inspection tells where the bit-operations went") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  const Task task = TinyTask{}.task();
  RunState state = TinyTask::state();
  {
    RunDirectory run = RunDirectory::create(path, to_json(config()));
    CHECK(to_table(inspect(path)).find("No checkpoint yet") != std::string::npos);
    LoopSettings settings{.iterations = 6, .key = Key(1)};
    settings.plan = [](std::int64_t) {
      return PrecisionPlan::uniform(Format::integer(4), Format::integer(8));
    };
    settings.rate = [](std::int64_t) { return 0.02; };
    settings.evaluation_plan = settings.plan(0);
    settings.eval_every = settings.save_every = 3;
    const LoopEvents events{.step = [&](const StepRow& row) { run.add(row); },
                            .evaluation = [&](const EvalRow& row) { run.add(row); },
                            .save = [&](const RunState& s) { run.save(to_checkpoint(s, "{}")); }};
    run_loop(task, state, settings, events);
  }
  const Inspection inspection = inspect(path);
  const Json json = Json::parse(to_json(inspection));
  CHECK(json["bit_ops"] == std::to_string(6 * 36 * (16 + 32)));
  CHECK(json["relative_cost"] == (16.0 + 32.0) / 128.0);
  REQUIRE(json["sites"].size() == 1);
  CHECK(json["sites"][0]["forward"]["bit_ops"] == std::to_string(6 * 36 * 16));
  CHECK(json["sites"][0]["grad_left"]["macs"] == 0);
  CHECK(json["evaluations"].size() == 3);
  CHECK(json["arithmetic"]["grid"] == "affine");
  CHECK(to_table(inspection).find("\nwith ") == std::string::npos);  // nothing but defaults
  double loss = 0;  // of the last epoch's four steps, as a summary has it
  for (std::size_t i = 2; i < 6; ++i) loss += inspection.history.steps[i].loss;
  CHECK(json["train_loss"] == loss / 4);
  CHECK(to_table(inspection)
            .find(concat(format_fixed(loss / 4, 4), ", mean of the last epoch's steps")) !=
        std::string::npos);
  CHECK(json["test_negative_loss"] == inspection.history.evaluations.back().score);
  CHECK(json["options"]["batch"] == 128);
  const std::string table = to_table(inspection);
  for (const char* part : {"10.37 kBitOPs, 0.3750 of 8/8/8\n", "6 of 6", "fc", "66.7 %", "33.3 %",
                           "lr 0.02, lr-schedule 1, batch 128, seed 1", " in 3 evaluations\n"}) {
    CAPTURE(part);
    CHECK(table.find(part) != std::string::npos);
  }
  // A run that was killed: its record goes on beyond the checkpoint whose costs these are.
  Inspection killed = inspection;
  killed.history.steps.push_back(killed.history.steps.back());
  CHECK(to_table(killed).find("12.10 kBitOPs\n") != std::string::npos);
  CHECK(to_table(killed).find("10.37 kBitOPs, 0.3750 of 8/8/8 in the first 6 steps\n") !=
        std::string::npos);
  CHECK(Json::parse(to_json(killed))["bit_ops"] == std::to_string(7 * 36 * (16 + 32)));
  killed.saved_at.reset();  // and one without a checkpoint
  CHECK(to_table(killed).find("12.10 kBitOPs\n") != std::string::npos);
  CHECK(Json::parse(to_json(killed))["relative_cost"].is_null());
  // The last measurement of operands, with what one grid reaches over.
  killed.operands = {{.iteration = 0, .site = "fc", .role = "weight", .format = "int4"},
                     {.iteration = 5,
                      .site = "fc",
                      .role = "weight",
                      .format = "int4",
                      .grid = "output channel",
                      .elements = 6,
                      .at_ends = 0.5,
                      .zeros = 0.125,
                      .sqnr_db = 21.25}};
  CHECK(
      to_table(killed).find("fc     weight  int4    output channel     50.0 %  12.5 %      21.2") !=
      std::string::npos);
  CHECK(Json::parse(to_json(killed))["operands"].size() == 1);
  CHECK_THROWS_AS(static_cast<void>(inspect(scratch.path())), DataError);
}

TEST_CASE("an inspection says the bits that a run had, not the names that its options gave them") {
  struct Case {
    const char* why;
    KeyValues resolved;
    const char* expected;
  };
  const Case cases[] = {{"a cyclic schedule",
                         {{"bits", "round(2->6 : cycle(1) cos)"}, {"gradient_bits", "8"}},
                         "round(2->6 : cycle(1) cos), gradients 8"},
                        {"gradients in a group",
                         {{"bits", "group{gradient: 4, *: 8}"}, {"gradient_bits", ""}},
                         "group{gradient: 4, *: 8}"},
                        {"float32", {{"bits", "fp32"}, {"gradient_bits", "8"}}, "fp32"},
                        {"a run that recorded no gradients", {{"bits", "8"}}, "8, gradients 8"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Inspection inspection{.directory = "run", .config = config(), .history = {}};
    inspection.config.resolved = c.resolved;
    CHECK(to_table(inspection).find(concat(' ', c.expected, '\n')) != std::string::npos);
  }
}

TEST_CASE("an inspection says what of the arithmetic is not as by default") {
  Inspection inspection{.directory = "run", .config = config(), .history = {}};
  for (auto& [name, text] : inspection.config.options) {
    if (name == "grid") text = "symmetric";
    if (name == "keep-fp32") text = "first,last";
    if (name == "simulate") text = "true";
  }
  CHECK(to_table(inspection).find("--grid symmetric --keep-fp32 first,last --simulate") !=
        std::string::npos);
}

TEST_CASE(
    "overflow events are reported by site and product, those of evaluations apart, in every "
    "summary") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  const Task task = TinyTask{}.task();
  RunState state = TinyTask::state();
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
  plan.base.set_accumulator(Accumulator::saturate(10));  // products of two 8-bit codes take 16 bits
  LoopSettings settings{.iterations = 3, .key = Key(1)};
  settings.plan = [=](std::int64_t) { return plan; };
  settings.rate = [](std::int64_t) { return 0.001; };
  settings.evaluation_plan = plan;
  settings.eval_every = settings.save_every = 3;
  {
    RunDirectory run = RunDirectory::create(path, to_json(config()));
    run_loop(task, state, settings,
             {.step = [&](const StepRow& row) { run.add(row); },
              .evaluation = [&](const EvalRow& row) { run.add(row); },
              .save = [&](const RunState& s) { run.save(to_checkpoint(s, "{}")); }});
  }
  const auto& cells = state.ledger.rows()[0].cells;
  const std::string all = to_text(state.ledger.overflow_events()),
                    forward = to_text(cells[0].overflow_events);
  REQUIRE(cells[0].overflow_events > 0);
  REQUIRE(cells[0].overflow_events < state.ledger.overflow_events());
  REQUIRE(state.evaluation_ledger.overflow_events() > 0);

  const Json summary = Json::parse(
      to_json(summarize({}, state, task, {parse_cost_reference("8/8/8")}, plan, Simd::scalar)));
  const Json inspected = Json::parse(to_json(inspect(path)));
  for (const Json& json : {summary, inspected}) {
    CHECK(json["accumulator_overflows"] == all);
    CHECK(json["evaluation_accumulator_overflows"] ==
          to_text(state.evaluation_ledger.overflow_events()));
    CHECK(json["evaluation_accumulator_overflows_by_site"]["fc"]["forward"] ==
          to_text(state.evaluation_ledger.overflow_events()));
  }
  CHECK(summary["accumulator_overflows_by_site"]["fc"]["forward"] == forward);
  CHECK(inspected["sites"][0]["accumulator_overflows"] == all);
  CHECK(inspected["sites"][0]["forward"]["accumulator_overflows"] == forward);
  const std::string shown = with_separators(state.ledger.overflow_events());
  CHECK(to_table(inspect(path)).find(concat(shown, ": fc ", shown)) != std::string::npos);

  Precision precision;
  precision.costs.reference = parse_cost_reference("8/8/8");
  precision.arithmetic = {{"accumulator", "sat10"}};
  state.evaluation_ledger.count_overflow("earlier", Product::forward,
                                         5);  // so that it differs from what comes
  const CostLedger evaluated = state.evaluation_ledger;
  const EvaluationReport report = evaluate_all(task, state, settings, precision);
  CHECK(state.evaluation_ledger == evaluated);  // the run's ledger is left alone
  CHECK(report.ledger.rows().size() == 1);      // and the report is of this evaluation
  const Json scored = Json::parse(to_json(report));
  CHECK(scored["accumulator_overflows"] == to_text(report.ledger.overflow_events()));
  CHECK(scored["accumulator_overflows_by_site"]["fc"]["forward"] ==
        scored["accumulator_overflows"]);
  CHECK(scored["arithmetic"]["accumulator"] == "sat10");
  CHECK(to_table(report).find("--accumulator sat10") != std::string::npos);
  CHECK(to_table(report).find(": fc " + with_separators(report.ledger.overflow_events())) !=
        std::string::npos);
}

TEST_CASE("sites with most overflow events come first, and what has no place is said") {
  CostLedger ledger;
  CHECK(format_overflows(ledger) == "0");
  for (const auto& [name, events] : {std::pair("a", 5), {"b", 7}, {"c", 1}, {"d", 6000}})
    ledger.count_overflow({name, {}}, Product::forward, static_cast<uint128>(events));
  CHECK(format_overflows(ledger) == "6,013: d 6,000, b 7, a 5, elsewhere 1");
  CHECK(overflows_json(ledger).starts_with(R"({"a":{"forward":"5"},)"));
  CHECK(format_overflows(CostLedger::load("ebb-ledger-2 1 576 10 0 98")) ==
        "98");  // of version 0.1
}

TEST_CASE(
    "a run recorded without a cost reference is inspected under 8/8/8, or under any that is asked "
    "for") {
  const Scratch scratch;
  const std::string path = scratch / "run";
  RunConfig old = config();
  std::erase_if(old.options, [](const auto& option) { return option.first == "cost-reference"; });
  RunState state = TinyTask::state();
  state.ledger.charge("fc", Product::forward, 10, Format::integer(4), Format::integer(8));
  state.ledger.close_iteration(Format::integer(4), Format::integer(8));
  RunDirectory::create(path, to_json(old)).save(to_checkpoint(state, "{}"));
  CHECK(inspect(path).cost.exact == 0.5);
  CHECK(to_table(inspect(path)).find("0.5000 of 8/8/8") != std::string::npos);
  CHECK(inspect(path, {.reference = parse_cost_reference("4/4/8")}).cost.exact == 2.0);
  CHECK(Json::parse(to_json(inspect(
            path, {.reference = parse_cost_reference("4/4/8")})))["cost_reference"] == "4/4/8");
  // int4 x int8 beside two of int8, in adders: 32 + 12 + 8 of 64 + 16 + 8.
  const Inspection as_datapath = inspect(path, {.model = CostModel::parse("datapath")});
  CHECK(as_datapath.cost.exact == 52.0 / 88.0);
  CHECK(
      to_table(as_datapath).find("520.0 adders of datapaths, 0.5909 of 8/8/8 by datapath(K=256)") !=
      std::string::npos);
  const Json costs = Json::parse(to_json(as_datapath));
  CHECK(costs["cost_model"] == "datapath(K=256)");
  CHECK(costs["costs"][0]["model"] == "bits");
  CHECK(costs["costs"][0]["relative_cost"] == 0.5);
  CHECK(costs["costs"][2]["total"] == 520);
}

TEST_CASE("tables align numbers to the right and texts to the left") {
  CHECK(
      format_table({{"layer", "count", "share"}, {"fc", "1,000", "5.0 %"}, {"conv10", "7", ""}}) ==
      "layer   count  share\nfc      1,000  5.0 %\nconv10      7\n");
  CHECK(with_separators(0) == "0");
  CHECK(with_separators(999) == "999");
  CHECK(with_separators(1234567) == "1,234,567");
}
