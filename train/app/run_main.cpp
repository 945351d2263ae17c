#include "train/app/run_main.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/memory.h"
#include "core/printable.h"
#include "core/process.h"
#include "train/app/evaluation.h"
#include "train/app/forecast.h"
#include "train/app/overflows.h"
#include "train/app/progress.h"
#include "train/app/recorded.h"
#include "train/app/report.h"
#include "train/app/stop_signals.h"
#include "train/app/tables.h"
#include "train/config.h"
#include "train/costs.h"
#include "train/options/precision.h"
#include "train/options/rules.h"
#include "train/record.h"

namespace ebb::cli {
namespace {

using namespace ebb::train;

// Options of a text that the network of a run writes that may differ from the run's: its draws have
// seeds of their own.
const std::vector<std::string> kFreeInGeneration{"seed"};

// Everything that the options come to.
struct Run {
  Options options;
  Task task{};
  RunState state{};
  std::vector<Site> sites{};  // where there are products
  Precision precision{};
  LoopSettings settings{};
};

std::int64_t iterations_of(const Options& options, const Task& task) {
  if (options.has("iterations")) return options.integer("iterations");
  std::int64_t iterations = 0;
  require<ConfigError>(
      !__builtin_mul_overflow(options.integer("epochs"), task.steps_per_epoch, &iterations),
      "[command line] --epochs: ", options.text("epochs"), " epochs of ", task.steps_per_epoch,
      " steps are more than can be counted");
  return iterations;
}

Precision precision_of(const Options& options, const Run& run) {
  return resolve_precision(options,
                           {.updates = iterations_of(options, run.task),
                            .updates_per_epoch = run.task.steps_per_epoch,
                            .samples_per_update = options.integer("batch")},
                           run.sites, run.state.params);
}

Run assemble(Options options, const ModelFamily& family) {
  apply_defaults(options, family.program);
  check(options, family.program);
  check_expressions(options);
  check_given(options);
  Run run{.options = options,
          .state = {.params = {},
                    .optimizer = optimizer_of(options),
                    .controllers = controllers_of(options)}};
  run.task = family.build(options, run.state.params);

  const CostLedger example = count_example(run.task, run.state.params);
  for (const CostLedger::Row& row : example.rows()) run.sites.push_back(row.site);
  check_keep_fp32(options, run.sites);
  const std::int64_t iterations = iterations_of(options, run.task);
  run.precision = precision_of(options, run);
  check_codes(options, run.precision, run.sites);
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
                  .simd = parse_simd(options.text("simd")),
                  .stop = StopSignals::requested()};
  return run;
}

RunConfig config_of(const Run& run, const std::string& program) {
  const auto all = option_texts(run.options, false), results = option_texts(run.options, true);
  RunConfig config{.program = program, .options = results};
  for (const auto& option : all) {
    if (std::find(results.begin(), results.end(), option) == results.end())
      config.session.push_back(option);
  }
  config.resolved = {{"iterations", to_text(run.settings.iterations)},
                     {"steps_per_epoch", to_text(run.task.steps_per_epoch)},
                     {"eval_every", to_text(run.settings.eval_every)},
                     {"save_every", to_text(run.settings.save_every)},
                     {"bits", run.precision.bits_text},
                     {"gradient_bits", run.precision.gradient_text},
                     {"lr_schedule", run.precision.rate_text},
                     {"parameters", to_text(run.state.params.parameter_count())}};
  config.build = build_fingerprint(run.precision.plan(0), run.settings.simd);
  config.data = run.task.data;
  return config;
}

std::string describe(const EvalRow& row) {
  return concat("step ", row.iteration, "  ", row.split, ' ', row.metric, ' ',
                format_fixed(row.score, 4), "  loss ", format_fixed(row.loss, 4), "  ",
                formats_text(row.formats), "  ", format_duration(row.seconds));
}

// What a preset came to with the options given, and what it is not sure of.
std::string describe(const Preset& preset, const Options& options) {
  std::string text = concat("preset ", preset.name, ": ", preset.summary, '\n');
  for (const auto& [name, value] : option_texts(options, true)) {
    if (std::ranges::find(preset.options, name, &KeyValues::value_type::first) !=
        preset.options.end())
      text += concat("  --", name, ' ', value, '\n');
  }
  for (const std::string& warning : preset.warnings) text += concat("  uncertain: ", warning, '\n');
  return text;
}

// The program on one command line.
class Session {
 public:
  Session(const ModelFamily& family, const Console& console) : family_(family), console_(console) {}

  Exit operator()(std::span<const std::string> args) {
    const CommandLine line = parse_command_line(args, family_.program);
    if (line.text) {
      show(*line.text);
      return kDone;
    }
    if (line.options.has("evaluate")) {
      evaluate_run(line);
    } else if (line.gave("generate")) {
      generate_text(line);
    } else if (line.options.flag("dry-run")) {
      dry_run(line.options);
    } else {
      return line.options.flag("resume") ? resume(line) : begin(line.options);
    }
    return kDone;
  }

 private:
  void show(const std::string& text) {
    console_.out << text << std::flush;
    require<DataError>(console_.out.good(), "[out] standard output cannot be written");
  }
  void tell(const std::string& text) { console_.err << text << std::flush; }
  void note(const std::string& text) {
    tell(concat(family_.program.name, ": ", printable(text, LineFeeds::kept), '\n'));
  }

  // Options become a run; what is doubtful about them is said once.
  Run prepare(const Options& options) {
    omp_set_num_threads(static_cast<int>(options.integer("threads")));
    Run run = assemble(options, family_);
    const bool trains = !options.has("evaluate") && !options.gave("generate");
    for (const std::string& warning : run.precision.warnings) {
      if (trains) note("warning: " + warning);
    }
    if (options.has("preset") && !options.flag("quiet"))
      tell(describe(find_preset(family_.program, options.text("preset")), options));
    return run;
  }

  void start_from_other(Run& run) {
    if (!run.options.has("from")) return;
    const TakenParams result =
        start_from(run.options.text("from"), run.task.data, run.state.params);
    std::string kept;
    for (const std::string& name : result.kept)
      kept += concat(kept.empty() ? "; new: " : ", ", name);
    if (!run.options.flag("quiet"))
      note(concat(result.taken.size(), " tensors from ", run.options.text("from"), kept));
  }

  Exit begin(const Options& options) {
    Run run = prepare(options);
    start_from_other(run);
    std::optional<RunDirectory> directory;
    const RunConfig config = config_of(run, family_.program.name);
    if (options.has("out")) directory = RunDirectory::create(options.text("out"), to_json(config));
    return train_on(run, directory, config, {});
  }

  Exit resume(const CommandLine& line) {
    std::optional<RunDirectory> directory = RunDirectory::open(line.options.text("out"));
    if (directory->untouched()) {
      note("warning: this run was ended before it began; beginning it now");
      Run run = prepare(line.options);
      start_from_other(run);
      const RunConfig config = config_of(run, family_.program.name);
      directory->write_config(to_json(config));
      return train_on(run, directory, config, directory->cut_back(0));
    }
    const Recorded recorded = read(directory->path(), [&] { return directory->checkpoint(); });
    Run run = prepare(options_to_resume(line, recorded.config));
    if (!recorded.checkpoint) start_from_other(run);
    require<DataError>(
        !recorded.config.data.empty() || !line.gave("data"),
        "[resume] --data: nothing is left that says of which data the run is; leave --data out");
    check_same_data(recorded.config, run.task.data);
    if (recorded.checkpoint) {
      restore(run.state, *recorded.checkpoint);
      check_new_length(run, parse_config(recorded.checkpoint->config));
    } else {
      check_never_saved(*directory, recorded.config);
    }
    History history = directory->cut_back(
        run.state.iteration, recorded.checkpoint ? recorded.checkpoint->notes : Checkpoint{}.notes);
    if (!directory->dropped().empty())
      note(concat("cut back to step ", run.state.iteration,
                  ", where the run was saved: ", directory->dropped(), " dropped"));
    const RunConfig config =
        updated(recorded.config, config_of(run, family_.program.name), run.options);
    if (config != recorded.config || !recorded.warning.empty()) {
      if (recorded.checkpoint)
        save(*directory, run.state, config);  // first: it counts where the two differ
      directory->write_config(to_json(config));
    }
    return train_on(run, directory, config, std::move(history));
  }

  // What a run directory says, whichever of its files says it.
  Recorded read(const std::string& directory,
                const std::function<std::optional<Checkpoint>()>& read_checkpoint) {
    Recorded recorded = read_recorded(directory, family_.program, read_checkpoint);
    if (!recorded.warning.empty()) note("warning: " + recorded.warning);
    return recorded;
  }

  static void save(RunDirectory& directory, const RunState& state, const RunConfig& config) {
    Checkpoint checkpoint = to_checkpoint(state, identity(config));
    checkpoint.notes[kRemainder] = remainder(config);
    directory.save(std::move(checkpoint));
  }

  // A run that is to end elsewhere than it was to when its checkpoint was saved.
  void check_new_length(const Run& run, const RunConfig& saved_under) {
    const CommandLine nothing{.options = Options(family_.program.options), .text = {}};
    const Options before = resumed_options(nothing, saved_under.options);
    Options options = run.options;
    for (const char* name : {"iterations", "epochs"}) options.set(name, before.text(name));
    const std::int64_t length = iterations_of(options, run.task), done = run.state.iteration;
    if (length == run.settings.iterations) return;
    require<DataError>(run.settings.iterations > done, "[resume] the run has done ", done,
                       " steps already, it cannot end after ", run.settings.iterations,
                       "; give more --iterations or --epochs");
    const Precision planned = precision_of(options, run);
    check_same_past(planned, run.precision, done);
    if (!same_evaluations(planned, run.precision)) {
      if (!run.state.controllers.empty()) {
        throw DataError(
            concat("[resume] evaluations are at the highest bits of the run, which differ with the "
                   "new length, and --",
                   run.state.controllers.front().rule->option,
                   " has followed those of the old one; leave --iterations and --epochs out, or "
                   "begin a run of the new length in another --out"));
      }
      note(
          "warning: evaluations are at the highest bits of the run, from here on those of the new "
          "length");
    }
    note(concat("the run ends after ", run.settings.iterations, " steps in place of ", length,
                "; bits and rates of the ", done,
                " steps done are the same for both, those to come are those of the new length"));
  }

  // Without a checkpoint a run begins anew, unless there must have been one.
  static void check_never_saved(const RunDirectory& directory, const RunConfig& recorded) {
    const auto entry =
        std::ranges::find(recorded.resolved, "save_every", &KeyValues::value_type::first);
    std::int64_t save_every = 0;
    const auto steps = std::ssize(read_history(directory.path()).steps);
    const bool known = entry != recorded.resolved.end() && parse_number(entry->second, save_every);
    require<DataError>(!known || steps <= save_every, "[resume] ", directory.path(),
                       ": the record holds ", steps, " steps of a run that is saved every ",
                       save_every,
                       ", but there is no checkpoint.safetensors; restore it, or remove the "
                       "directory and begin anew");
  }

  Options options_of_evaluation(const CommandLine& line, const Recorded& recorded,
                                const std::vector<std::string>& free) {
    std::vector<std::string> warnings;
    Options options = options_to_evaluate(line, recorded.config.options, free, warnings);
    for (const std::string& warning : warnings) note("warning: " + warning);
    return options;
  }

  void evaluate_run(const CommandLine& line) {
    const std::string& directory = line.options.text("evaluate");
    const Recorded recorded = read(directory, [&] { return read_checkpoint(directory); });
    Run run = prepare(options_of_evaluation(line, recorded, {}));
    try {
      check_same_data(recorded.config, run.task.data);
    } catch (const DataError& other) {
      if (!line.gave("data")) throw;
      note(concat("warning: scored on other data than the run was trained on: ", other.what()));
    }
    restore(run.state, *recorded.checkpoint);
    const EvaluationReport report =
        evaluate_all(run.task, run.state, run.settings, run.precision, [&](const EvalRow& row) {
          if (!run.options.flag("quiet")) note(describe(row));
        });
    show(run.options.flag("json") ? to_json(report) : to_table(report));
  }

  void generate_text(const CommandLine& line) {
    const std::string& directory = line.options.text("generate");
    const Recorded recorded = read(directory, [&] { return read_checkpoint(directory); });
    Run run = prepare(options_of_evaluation(line, recorded, kFreeInGeneration));
    require<ConfigError>(run.task.generate != nullptr, "[command line] --generate: --arch ",
                         run.options.text("arch"),
                         " of this run writes no text; only language models do");
    check_same_data(recorded.config, run.task.data);  // tokens mean what they meant in training
    restore(run.state, *recorded.checkpoint);
    run.state.evaluation_ledger = {};  // of this text alone
    const Generated written = generate(run.task, run.state, run.settings);
    const CostLedger& ledger = run.state.evaluation_ledger;
    show(run.options.flag("json") ? to_json(written, ledger) : written.text + "\n");
    if (!run.options.flag("quiet"))
      note(concat(
          written.tokens.size(), " tokens after step ", run.state.iteration, " at ",
          formats_text(role_formats(evaluation_plan(run.settings, run.state.iteration), ledger)),
          " for ", with_separators(ledger.total_bit_ops()),
          " bit-operations, accumulator overflows ", format_overflows(ledger)));
  }

  void dry_run(const Options& options) {
    const auto countable = [](std::int64_t steps) {
      constexpr std::int64_t kMostSteps = 10'000'000;  // some seconds' work
      require<ConfigError>(
          steps <= kMostSteps, "[command line] --dry-run adds up the cost of ", steps,
          " steps one by one, up to ", kMostSteps,
          "; give fewer --iterations: the cost of a schedule grows with them in proportion");
    };
    countable(options.optional_integer("iterations").value_or(0));
    if (options.has("out")) RunDirectory::require_absent(options.text("out"));
    Run run = prepare(options);
    countable(run.settings.iterations);
    start_from_other(run);
    const Forecast result =
        forecast(run.task, run.state.params, run.precision, run.settings.iterations);
    show(options.flag("json") ? to_json(result) : to_table(result));
  }

  Exit train_on(Run& run, std::optional<RunDirectory>& directory, const RunConfig& config,
                History history) {
    const bool loud = !run.options.flag("quiet");
    Progress progress(run.state.iteration, run.settings.iterations,
                      {.terminal = console_.terminal, .color = console_.color});
    const auto now = [] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
    };
    LoopEvents events;
    events.step = [&](const StepRow& row) {
      if (directory) directory->add(row);
      history.steps.push_back(row);
      if (const std::string text = progress.step(row, now()); loud && !text.empty()) tell(text);
    };
    events.evaluation = [&](const EvalRow& row) {
      if (directory) directory->add(row);
      history.evaluations.push_back(row);
      if (loud) tell(progress.line(describe(row)));
    };
    if (directory) {
      events.save = [&](const RunState& state) { save(*directory, state, config); };
      events.statistics = [&](std::int64_t t, const std::vector<OperandQuality>& operands) {
        directory->add(t, operands);
      };
    }
    Outcome outcome = Outcome::finished;
    {
      const StopSignals signals;
      try {
        outcome = run_loop(run.task, run.state, run.settings, events);
      } catch (...) {
        if (loud) tell(progress.finish());
        throw;
      }
    }
    if (loud) tell(progress.finish());
    if (outcome == Outcome::stopped) {
      note(concat("stopped after step ", run.state.iteration, " of ", run.settings.iterations,
                  directory ? concat("; saved, go on with --out ", directory->path(), " --resume")
                            : "; without --out nothing is saved"));
    }
    finish(run, history, outcome == Outcome::stopped);
    return outcome == Outcome::stopped && directory ? kInterrupted
           : outcome == Outcome::stopped            ? kFailed
                                                    : kDone;
  }

  void finish(const Run& run, const History& history, bool interrupted) {
    Summary summary = summarize(history, run.state, run.task, run.precision.reference,
                                run.precision.plan(0), run.settings.simd);
    summary.interrupted = interrupted;
    show(run.options.flag("json") ? to_json(summary) : to_table(summary));
  }

  const ModelFamily& family_;
  const Console& console_;
};

constexpr std::string_view kAskForLess = "; lower --batch or the sizes of the network";

}  // namespace

int run(std::span<const std::string> args, const ModelFamily& family, const Console& console) {
  const auto fail = [&](const std::exception& error, Exit code) {
    console.err << family.program.name << ": " << printable(error.what(), LineFeeds::kept)
                << std::endl;
    return code;
  };
  try {
    return Session(family, console)(args);
  } catch (const ConfigError& error) {
    return fail(error, kWrongCommandLine);
  } catch (const MemoryError& error) {
    return fail(Error(concat(error.what(), kAskForLess)), kFailed);
  } catch (const std::bad_alloc&) {
    return fail(Error(concat("[memory] there is no more on this machine", kAskForLess)), kFailed);
  } catch (const std::length_error&) {  // of a container: more than there are addresses
    return fail(Error(concat("[memory] no machine has what these options ask for", kAskForLess)),
                kFailed);
  } catch (const std::exception& error) {
    return fail(error, kFailed);
  }
}

int run_main(int argc, char** argv, const ModelFamily& family) {
  reserve_standard_streams();
  // A reader of the log that has gone, or a limit on files, is an error of that write and no reason
  // to lose the run.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  start_tuned(argv);
  explain_lack_of_memory();
  keep_memory();
  const std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  const char* terminal_kind = std::getenv("TERM");
  const bool terminal = isatty(STDERR_FILENO) == 1 && terminal_kind != nullptr &&
                        std::string_view(terminal_kind) != "dumb";
  return run(args, family,
             {.out = std::cout,
              .err = std::cerr,
              .terminal = terminal,
              .color = terminal && !set("NO_COLOR")});
}

}  // namespace ebb::cli
