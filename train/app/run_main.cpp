#include "train/app/run_main.h"

#include <omp.h>
#include <sys/ioctl.h>
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
#include "train/app/import.h"
#include "train/app/overflows.h"
#include "train/app/progress.h"
#include "train/app/recorded.h"
#include "train/app/report.h"
#include "train/app/run.h"
#include "train/app/stop_signals.h"
#include "train/app/tables.h"
#include "train/app/vectors.h"
#include "train/config.h"
#include "train/monitor.h"
#include "train/options/conflicts.h"
#include "train/options/knobs.h"
#include "train/record.h"

namespace ebb::cli {
namespace {

using namespace ebb::train;

// Options of a text that the network of a run writes that may differ from the run's: its draws have
// seeds of their own.
const std::vector<std::string> kFreeInGeneration{"seed"};

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
    loud_ = !line.options.flag("quiet");
    if (line.options.has("import")) {
      import_weights(line.options);
    } else if (line.options.has("evaluate")) {
      evaluate_run(line);
    } else if (line.gave("generate")) {
      generate_text(line);
    } else if (line.options.has("dump")) {
      dump_vectors(line);
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
  void say(const std::string& text) {
    tell(concat(family_.program.name, ": ", printable(text, LineFeeds::kept), '\n'));
  }
  // What --quiet leaves out: warnings, too.
  void note(const std::string& text) {
    if (loud_) say(text);
  }

  // Options become a run.
  Run prepare(const Options& options, const RunConfig* recorded = nullptr) {
    omp_set_num_threads(static_cast<int>(options.integer("threads")));
    return assemble(options, family_, recorded);
  }

  // The same, of a run that begins: what is doubtful about its options is said once.
  Run prepare_new(const Options& options) {
    Run run = prepare(options);
    for (const std::string& warning : run.precision.warnings) note("warning: " + warning);
    if (options.has("preset") && loud_)
      tell(describe(find_preset(family_.program, options.text("preset")), options));
    start_from_other(run);
    return run;
  }

  void start_from_other(Run& run) {
    if (!run.options.has("from")) return;
    const TakenParams result =
        start_from(run.options.text("from"), run.task.data, run.state.params);
    std::string kept;
    for (const std::string& name : result.kept)
      kept += concat(kept.empty() ? "; new: " : ", ", name);
    note(concat(result.taken.size(), " tensors from ", run.options.text("from"), kept));
  }

  // None if --out says so.
  std::optional<RunDirectory> new_directory(const Run& run, const RunConfig& config) {
    if (!run.options.has("out"))
      return RunDirectory::create_beside(default_directory(run.options, family_.program.name),
                                         to_json(config));
    if (!saves(run.options)) return std::nullopt;
    return RunDirectory::create(run.options.text("out"), to_json(config));
  }

  Exit begin(const Options& options) {
    Run run = prepare_new(options);
    const RunConfig config = config_of(run, family_.program.name);
    std::optional<RunDirectory> directory = new_directory(run, config);
    return train_on(run, directory, config, {}, false);
  }

  // A run of no steps, which others go on with.
  void import_weights(const Options& options) {
    require<ConfigError>(saves(options),
                         "[command line] --import makes a run: leave --out none out");
    Run run = prepare_new(options);
    const std::string& path = options.text("import");
    const Imported result = import_params(
        parse_safetensors(read_file(path)),
        options.has("map") ? read_names(options.text("map")) : NameMap{}, run.state.params);
    run.task.data.emplace_back("import", weights_sha256(run.state.params));
    const RunConfig config = config_of(run, family_.program.name);
    std::optional<RunDirectory> directory = new_directory(run, config);
    for (const auto& [name, content] : run.task.files) directory->keep(name, content);
    save(*directory, run.state, config);
    const auto listed = [](const char* what, const std::vector<std::string>& names) {
      return names.empty() ? "" : concat("\n  ", what, ": ", join_words(names));
    };
    note(concat(result.taken.size(), " tensors from ", path, listed("as initialised", result.kept),
                listed("not used", result.unused), "\nsaved in ", directory->path()));
  }

  Exit resume(const CommandLine& line) {
    std::optional<RunDirectory> directory = RunDirectory::open(line.options.text("out"));
    if (directory->untouched()) {
      note("warning: this run was ended before it began; beginning it now");
      Run run = prepare_new(line.options);
      const RunConfig config = config_of(run, family_.program.name);
      directory->write_config(to_json(config));
      return train_on(run, directory, config, directory->cut_back(0), false);
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
      set_phases(run.options, run.state.knobs, run.state.iteration);
      for (const std::string& sentence :
           check_new_length(run, family_.program, parse_config(recorded.checkpoint->config)))
        note(sentence);
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
    return train_on(run, directory, config, std::move(history), true);
  }

  // A run that is scored or writes a text, with the checkpoint that was asked for.
  Recorded read_chosen(const std::string& directory, const Options& options) {
    return read(directory, [&] {
      return read_checkpoint(directory, checkpoint_name(options.text("checkpoint")));
    });
  }

  // What a run directory says, whichever of its files says it.
  Recorded read(const std::string& directory,
                const std::function<std::optional<Checkpoint>()>& read_checkpoint) {
    Recorded recorded = read_recorded(directory, family_.program, read_checkpoint);
    if (!recorded.warning.empty()) note("warning: " + recorded.warning);
    return recorded;
  }

  static void save(RunDirectory& directory, const RunState& state, const RunConfig& config,
                   const std::string& name = kLastCheckpoint) {
    Checkpoint checkpoint = to_checkpoint(state, identity(config));
    checkpoint.notes[kRemainder] = remainder(config);
    directory.save(std::move(checkpoint), name);
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
    const Recorded recorded = read_chosen(directory, line.options);
    if (line.options.has("input")) return score_files(line, recorded);
    Run run = prepare(options_of_evaluation(line, recorded, {}));
    try {
      check_same_scored(recorded.config, run.task.data, line);
    } catch (const DataError& other) {
      if (!line.gave("data")) throw;
      note(concat("warning: scored on other data than the run was trained on: ", other.what()));
    }
    restore(run.state, *recorded.checkpoint);
    Progress progress = progress_of(run, {});
    const LoopEvents events{
        .piece = [&](const Split& split, std::int64_t done) { watch(progress, split, done); },
        .evaluation =
            [&](const EvalRow& row) {
              if (loud_) tell(progress.evaluation(row));
            }};
    const EvaluationReport report =
        evaluate_all(run.task, run.state, run.settings, run.precision, events);
    show(run.options.flag("json") ? to_json(report) : to_table(report));
  }

  // Somebody's files, as a table of tabs.
  void score_files(const CommandLine& line, const Recorded& recorded) {
    require<ConfigError>(!line.options.flag("json"),
                         "[command line] --json: files are scored as a table; leave it out");
    Run run = prepare(options_of_evaluation(line, recorded, {}), &recorded.config);
    require<ConfigError>(run.task.open_file != nullptr, "[command line] --input: --task masked of ",
                         "this run labels nothing; give a run of --task classify");
    if (!line.gave("data")) check_same_scored(recorded.config, run.task.data, line);
    restore(run.state, *recorded.checkpoint);
    for (bool first = true; const std::string& path : split_at(line.options.text("input"), '\n')) {
      const auto rows = score_file(run.task, path, run.state, run.settings);
      if (first) show(format_row(run.task.file_columns));
      first = false;
      for (const auto& row : rows) show(format_row(row));
    }
    note(concat("scored after ", run.state.iteration, " steps, in ",
                formats_text(role_formats(evaluation_plan(run.settings, run.state.iteration),
                                          run.state.evaluation_ledger))));
  }

  void generate_text(const CommandLine& line) {
    const std::string& directory = line.options.text("generate");
    const Recorded recorded = read_chosen(directory, line.options);
    Run run = prepare(options_of_evaluation(line, recorded, kFreeInGeneration), &recorded.config);
    require<ConfigError>(run.task.generate != nullptr, "[command line] --generate: --arch ",
                         run.options.text("arch"),
                         " of this run writes no text; only language models do");
    // Tokens mean what they meant in training.
    check_same_scored(recorded.config, run.task.data, line);
    restore(run.state, *recorded.checkpoint);
    run.state.evaluation_ledger = {};  // of this text alone
    const Generated written = generate(run.task, run.state, run.settings);
    const CostLedger& ledger = run.state.evaluation_ledger;
    show(run.options.flag("json") ? to_json(written, ledger) : written.text + "\n");
    note(concat(
        written.tokens.size(), " tokens after ", run.state.iteration, " steps, in ",
        formats_text(role_formats(evaluation_plan(run.settings, run.state.iteration), ledger)),
        " for ", format_bit_ops(ledger.total_bit_ops()), ", accumulator overflows ",
        format_overflows(ledger)));
  }

  // The run's directory stays as it is.
  void dump_vectors(const CommandLine& line) {
    const VectorRequest request = vector_request(line.options);
    const Recorded recorded = read_chosen(line.options.text("dump"), line.options);
    Run run = prepare(options_to_resume(line, recorded.config));
    require_possible(request, run.settings.iterations, run.sites);
    check_same_data(recorded.config, run.task.data);
    restore(run.state, *recorded.checkpoint);
    for (const std::string& sentence :
         check_new_length(run, family_.program, parse_config(recorded.checkpoint->config)))
      note(sentence);
    if (run.state.iteration > request.step) {  // from the start, then
      run = prepare(run.options);
      start_from_other(run);
    }
    show(dump(run.task, run.state, run.settings, request, family_.program.name));
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
    if (options.has("out") && saves(options)) RunDirectory::require_absent(options.text("out"));
    Run run = prepare_new(options);
    countable(run.settings.iterations);
    Forecast result = forecast(run.task, run.state.params, run.precision, run.settings.iterations);
    result.memory = memory_of(run.state.optimizer);
    show(options.flag("json") ? to_json(result) : to_table(result));
  }

  Progress progress_of(const Run& run, const History& before) {
    Course course{.begin = run.state.iteration,
                  .total = run.settings.iterations,
                  .steps_per_epoch = run.task.steps_per_epoch,
                  .eval_every = run.settings.eval_every};
    for (const Split& split : run.task.splits) course.splits.emplace_back(split.name, split.pieces);
    return {std::move(course),
            {.terminal = console_.terminal,
             .color = console_.color,
             .width = console_.width,
             .log_every = run.options.optional_integer("log-every")},
            before};
  }

  static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  void watch(Progress& progress, const Split& split, std::int64_t done) {
    if (const std::string text = progress.evaluating(split.name, done, now());
        loud_ && !text.empty())
      tell(text);
  }

  // What the loop reports goes to the record, the screen and the monitor.
  LoopEvents events_of(const Run& run, std::optional<RunDirectory>& directory,
                       const RunConfig& config, History& history, Monitor& monitor,
                       Progress& progress) {
    LoopEvents events;
    events.step = [&](const StepRow& row) {
      if (directory) directory->add(row);
      history.steps.push_back(row);
      if (const std::string text = progress.step(row, now()); loud_ && !text.empty()) tell(text);
    };
    events.piece = [&](const Split& split, std::int64_t done) { watch(progress, split, done); };
    events.evaluation = [&](const EvalRow& row) {
      if (directory) directory->add(row);
      history.evaluations.push_back(row);
      monitor.see(row);
      if (loud_) tell(progress.evaluation(row));
    };
    if (!directory) return events;
    const std::string& keep = run.options.text("keep");
    if (keep != "last") {
      events.evaluated = [&](const RunState& state) {
        if (monitor.best && monitor.best->iteration == state.iteration)
          save(*directory, state, config, kBestCheckpoint);
      };
    }
    events.save = [&, all = keep == "all"](const RunState& state) {
      // The last one last: a run goes on from it, and makes the others again.
      if (all) save(*directory, state, config, checkpoint_after(state.iteration));
      save(*directory, state, config);
    };
    events.statistics = [&](std::int64_t t, const std::vector<OperandQuality>& operands) {
      directory->add(t, operands);
    };
    events.updates = [&](std::int64_t t, const auto& all) { directory->add_updates(t, all); };
    events.probe = [&](std::int64_t t, const Measurements& measured) {
      directory->add_probe(t, measured);
    };
    return events;
  }

  Exit train_on(Run& run, std::optional<RunDirectory>& directory, const RunConfig& config,
                History history, bool resumed) {
    const std::string place = directory ? directory->path() : "";
    if (directory) {
      for (const auto& [name, content] : run.task.files) directory->keep(name, content);
    }
    if (loud_) tell(banner(run, family_.program, {place, resumed}));
    Monitor monitor{.split = run.task.splits.empty() ? "" : run.task.splits[0].name,
                    .patience = run.options.optional_integer("patience")};
    monitor.see(history);
    if (monitor.patience)
      run.settings.enough = [&](const EvalRow& row) { return monitor.exhausted_by(row); };
    Progress progress = progress_of(run, history);
    const LoopEvents events = events_of(run, directory, config, history, monitor, progress);
    Outcome outcome = Outcome::ended_early;
    if (!monitor.exhausted()) {
      const StopSignals signals;
      try {
        outcome = run_loop(run.task, run.state, run.settings, events);
      } catch (...) {
        if (loud_) tell(progress.finish());
        throw;
      }
    }
    if (loud_) tell(progress.finish());
    const bool stopped = outcome == Outcome::stopped;
    if (stopped) {
      say(concat("stopped after ", run.state.iteration, " of ", run.settings.iterations, " steps",
                 directory ? concat("; saved, go on with --out ", place, " --resume")
                           : "; with --out none nothing is saved"));
    }
    Summary summary = summarize(history, run.state, run.task, run.precision.costs,
                                run.precision.plan(0), run.settings.simd);
    summary.interrupted = stopped;
    summary.ended_early = outcome == Outcome::ended_early;
    summary.monitor = monitor;
    summary.directory = place;
    const bool json = run.options.flag("json");
    show(json ? to_json(summary) : to_table(summary));
    if (json && directory) note(concat("saved in ", place));
    return !stopped ? kDone : directory ? kInterrupted : kFailed;
  }

  const ModelFamily& family_;
  const Console& console_;
  bool loud_ = true;
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
              .color = terminal && !set("NO_COLOR"),
              .width = [] {
                winsize size{};
                const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
                return known ? static_cast<int>(size.ws_col) : 80;
              }});
}

}  // namespace ebb::cli
