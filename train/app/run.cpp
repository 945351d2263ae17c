#include "train/app/run.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

#include "core/error.h"
#include "quant/multiplier.h"
#include "train/app/report.h"
#include "train/app/stop_signals.h"
#include "train/costs.h"
#include "train/options/knobs.h"
#include "train/options/probe.h"
#include "train/options/rules.h"
#include "train/options/whole_schedule.h"
#include "train/tasks/multiplied.h"

namespace ebb::cli {

using namespace ebb::train;

std::int64_t iterations_of(const Options& options, const Task& task) {
  if (options.has("iterations")) return options.integer("iterations");
  std::int64_t iterations = 0;
  require<ConfigError>(
      !__builtin_mul_overflow(options.integer("epochs"), task.steps_per_epoch, &iterations),
      "[command line] --epochs: ", options.text("epochs"), " epochs of ", task.steps_per_epoch,
      " steps are more than can be counted");
  return iterations;
}

Totals totals_of(const Options& options, const Run& run) {
  return {.updates = iterations_of(options, run.task),
          .updates_per_epoch = run.task.steps_per_epoch,
          .samples_per_update = options.integer("batch")};
}

Precision precision_of(const Options& options, const Run& run) {
  return resolve_precision(options, totals_of(options, run), run.sites, run.state.params);
}

namespace {

std::int64_t recorded_steps_per_epoch(const RunConfig* recorded) {
  std::int64_t steps = 0;
  if (recorded != nullptr) {
    for (const auto& [name, text] : recorded->resolved) {
      if (name == "steps_per_epoch") static_cast<void>(parse_number(text, steps));
    }
  }
  require<DataError>(steps > 0,
                     "[run] config.json, which says how long the training was, is lost; give "
                     "--data, too");
  return steps;
}

}  // namespace

constexpr std::int64_t kMostBatches = 1'000'000;  // of an update

Run assemble(Options options, const ModelFamily& family, const RunConfig* recorded) {
  apply_defaults(options, family.program);
  check(options, family.program);
  check_expressions(options);
  check_given(options);
  Run run{.options = options,
          .state = {.params = {},
                    .optimizer = optimizer_of(options),
                    .controllers = controllers_of(options),
                    .loss_scale = loss_scale_of(options)}};
  run.task = family.build(options, run.state.params);

  if (!run.task.loss) run.task.steps_per_epoch = recorded_steps_per_epoch(recorded);
  if (options.has("batch-multiplier") && run.task.loss)
    run.task = multiply_batches(
        std::move(run.task), whole_schedule(options, "batch-multiplier", run.task.steps_per_epoch,
                                            1, kMostBatches, "a whole number of 1 to 1e6"));
  run.example = count_example(run.task, run.state.params);
  for (const CostLedger::Row& row : run.example.rows()) run.sites.push_back(row.site);
  check_keep_fp32(options, run.sites);
  const std::int64_t iterations = iterations_of(options, run.task);
  run.precision = precision_of(options, run);
  std::ranges::move(run.state.optimizer.warnings(), std::back_inserter(run.precision.warnings));
  check_codes(options, run.precision, run.sites);
  if (const auto multiplier = run.precision.plan(0).multiplier; multiplier != nullptr)
    run.task.data.emplace_back(kMultiplierEntry, multiplier->sha256());
  const bool evaluates = !run.task.splits.empty() || !run.task.loss;  // without data nobody trains
  run.state.knobs =
      knobs_of(options, totals_of(options, run), run.state.optimizer, evaluates, run.task.settings);
  const std::int64_t eval_every =
      options.optional_integer("eval-every").value_or(run.task.steps_per_epoch);
  run.settings = {.iterations = iterations,
                  .key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("steps"),
                  .plan = run.precision.plan,
                  .rate = run.precision.rate,
                  .rates = run.precision.rates,
                  .evaluation_plan = run.precision.evaluation,
                  .clip = options.optional_real("clip"),
                  .eval_every = eval_every,
                  .save_every = options.optional_integer("save-every").value_or(eval_every),
                  .statistics_every = options.optional_integer("statistics-every"),
                  .update_metrics_every = options.optional_integer("update-metrics"),
                  .probe_every = options.integer("probe-every"),
                  .probe = probe_of(options),
                  .simd = parse_simd(options.text("simd")),
                  .stop = StopSignals::requested()};
  run.state.optimizer.simd = run.settings.simd;
  return run;
}

RunConfig config_of(const Run& run, const std::string& program) {
  const auto all = option_texts(run.options, false), results = option_texts(run.options, true);
  RunConfig config{.program = program, .options = results};
  for (const auto& option : all) {
    if (std::ranges::find(results, option) == results.end()) config.session.push_back(option);
  }
  config.resolved = {{"iterations", to_text(run.settings.iterations)},
                     {"steps_per_epoch", to_text(run.task.steps_per_epoch)},
                     {"eval_every", to_text(run.settings.eval_every)},
                     {"save_every", to_text(run.settings.save_every)},
                     {"bits", run.precision.bits_text},
                     {"gradient_bits", run.precision.gradient_text},
                     {"lr_schedule", run.precision.rate_text},
                     {"parameters", to_text(run.state.params.parameter_count())}};
  config.build = build_fingerprint(run.precision.plan(0), run.state.params, run.settings.simd);
  config.data = run.task.data;
  return config;
}

std::string default_directory(const Options& options, const std::string& program) {
  constexpr std::size_t kLongest = 60;  // of the schedule; a file may be named with 255 bytes
  const std::string& schedule = options.text(options.has("bits") ? "bits" : "schedule");
  std::string safe;
  for (const char c : schedule) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_';
    if (plain) safe += c;
    if (!plain && !safe.empty() && safe.back() != '-') safe += '-';
  }
  safe = safe.substr(0, kLongest);
  while (safe.ends_with('-')) safe.pop_back();
  return concat("runs/", program, '-', options.text("arch"), '-', safe, "-seed",
                options.text("seed"));
}

}  // namespace ebb::cli
