#include "train/app/session.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/error.h"
#include "core/printable.h"
#include "train/app/forecast.h"
#include "train/app/report.h"
#include "train/app/stop_signals.h"
#include "train/config.h"
#include "train/options/conflicts.h"
#include "train/options/knobs.h"

namespace ebb::cli {

using namespace ebb::train;

namespace {

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

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Exit Session::operator()(std::span<const std::string> args) {
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
  } else if (line.options.has("export")) {
    export_weights(line);
  } else if (line.options.has("dump")) {
    dump_vectors(line);
  } else if (line.options.flag("dry-run")) {
    dry_run(line.options);
  } else {
    return line.options.flag("resume") ? resume(line) : begin(line.options);
  }
  return kDone;
}

void Session::show(const std::string& text) {
  console_.out << text << std::flush;
  require<DataError>(console_.out.good(), "[out] standard output cannot be written");
}

void Session::say(const std::string& text) {
  tell(concat(family_.program.name, ": ", printable(text, LineFeeds::kept), '\n'));
}

void Session::note(const std::string& text) {
  if (loud_) say(text);
}

void Session::tell(const std::string& text) { console_.err << text << std::flush; }

Run Session::prepare(const Options& options, const RunConfig* recorded) {
  omp_set_num_threads(static_cast<int>(options.integer("threads")));
  return assemble(options, family_, recorded);
}

Run Session::prepare_new(const Options& options) {
  Run run = prepare(options);
  for (const std::string& warning : run.precision.warnings) note("warning: " + warning);
  if (options.has("preset") && loud_)
    tell(describe(find_preset(family_.program, options.text("preset")), options));
  start_from_other(run);
  return run;
}

void Session::start_from_other(Run& run) {
  if (!run.options.has("from")) return;
  const TakenParams result = start_from(run.options.text("from"), run.task.data, run.state.params);
  std::string kept;
  for (const std::string& name : result.kept) kept += concat(kept.empty() ? "; new: " : ", ", name);
  note(concat(result.taken.size(), " tensors from ", run.options.text("from"), kept));
}

std::optional<RunDirectory> Session::new_directory(const Run& run, const RunConfig& config) {
  if (!run.options.has("out"))
    return RunDirectory::create_beside(default_directory(run.options, family_.program.name),
                                       to_json(config));
  if (!saves(run.options)) return std::nullopt;
  return RunDirectory::create(run.options.text("out"), to_json(config));
}

void Session::save(RunDirectory& directory, const RunState& state, const RunConfig& config,
                   const std::string& name) {
  Checkpoint checkpoint = to_checkpoint(state, identity(config));
  checkpoint.notes[kRemainder] = remainder(config);
  directory.save(std::move(checkpoint), name);
}

Exit Session::begin(const Options& options) {
  Run run = prepare_new(options);
  const RunConfig config = config_of(run, family_.program.name);
  std::optional<RunDirectory> directory = new_directory(run, config);
  return train_on(run, directory, config, {}, false);
}

Exit Session::resume(const CommandLine& line) {
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

void Session::dry_run(const Options& options) {
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

Progress Session::progress_of(const Run& run, const History& before) {
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

void Session::watch(Progress& progress, const Split& split, std::int64_t done) {
  if (const std::string text = progress.evaluating(split.name, done, now()); loud_ && !text.empty())
    tell(text);
}

LoopEvents Session::events_of(const Run& run, std::optional<RunDirectory>& directory,
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

Exit Session::train_on(Run& run, std::optional<RunDirectory>& directory, const RunConfig& config,
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

}  // namespace ebb::cli
