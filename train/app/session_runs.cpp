#include <utility>

#include "core/error.h"
#include "train/app/evaluation.h"
#include "train/app/import.h"
#include "train/app/overflows.h"
#include "train/app/packed_weights.h"
#include "train/app/report.h"
#include "train/app/session.h"
#include "train/app/tables.h"
#include "train/app/vectors.h"
#include "train/config.h"
#include "train/files.h"
#include "train/options/conflicts.h"
#include "train/options/probe.h"
#include "train/packed_file.h"

// What is done with runs that were made before, and with weights from elsewhere.
namespace ebb::cli {

using namespace ebb::train;

namespace {

// Options of a text that the network of a run writes that may differ from the run's: its draws have
// seeds of their own.
const std::vector<std::string> kFreeInGeneration{"seed"};

}  // namespace

Recorded Session::read_chosen(const std::string& directory, const Options& options) {
  return read(directory, [&] {
    return read_checkpoint(directory, checkpoint_name(options.text("checkpoint")));
  });
}

Recorded Session::read(const std::string& directory,
                       const std::function<std::optional<Checkpoint>()>& read_checkpoint) {
  Recorded recorded = read_recorded(directory, family_.program, read_checkpoint);
  if (!recorded.warning.empty()) note("warning: " + recorded.warning);
  return recorded;
}

Options Session::options_of_evaluation(const CommandLine& line, const Recorded& recorded,
                                       const std::vector<std::string>& free) {
  std::vector<std::string> warnings;
  Options options = options_to_evaluate(line, recorded.config.options, free, warnings);
  for (const std::string& warning : warnings) note("warning: " + warning);
  return options;
}

void Session::import_weights(const Options& options) {
  require<ConfigError>(saves(options), "[command line] --import makes a run: leave --out none out");
  Run run = prepare_new(options);
  const std::string& path = options.text("import");
  const Imported result = import_params(
      unpacked(parse_safetensors(read_file(path))),
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

void Session::evaluate_run(const CommandLine& line) {
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
  if (run.options.has("eval-format")) return score_formats(run, events);
  const EvaluationReport report =
      evaluate_all(run.task, run.state, run.settings, run.precision, events);
  show(run.options.flag("json") ? to_json(report) : to_table(report));
}

void Session::score_formats(Run& run, const LoopEvents& events) {
  struct Row {
    Format format;
    Precision precision;
  };
  std::vector<Row> rows;  // all of them first: what is wrong with one is said before any is scored
  for (const Format format : parse_formats(run.options.text("eval-format"))) {
    Options options = run.options;
    options.set("eval-bits", to_text(format));
    check(options, family_.program);
    rows.push_back({format, precision_of(options, run)});
  }
  const bool json = run.options.flag("json");
  std::vector<FormatScore> scores;
  for (const Row& row : rows) {
    run.settings.evaluation_plan = row.precision.evaluation;
    scores.push_back(
        score_format(row.format, run.task, run.state, run.settings, row.precision, events));
    if (!json && scores.size() == 1) show(heading_of(scores.back()));
    if (!json) show(to_row(scores.back()));
  }
  if (json) show(to_json(scores));
}

void Session::score_files(const CommandLine& line, const Recorded& recorded) {
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

void Session::generate_text(const CommandLine& line) {
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
  note(
      concat(written.tokens.size(), " tokens after ", run.state.iteration, " steps, in ",
             formats_text(role_formats(evaluation_plan(run.settings, run.state.iteration), ledger)),
             " for ", format_bit_ops(ledger.total_bit_ops()), ", accumulator overflows ",
             format_overflows(ledger)));
}

void Session::export_weights(const CommandLine& line) {
  for (const char* name : {"export-format", "out"})
    require<ConfigError>(line.options.has(name) && saves(line.options),
                         "[command line] --export needs --", name, ' ', line.options.at(name).value,
                         "; add it");
  const Recorded recorded = read_chosen(line.options.text("export"), line.options);
  Run run = prepare(options_of_evaluation(line, recorded, {}), &recorded.config);
  restore(run.state, *recorded.checkpoint);
  const Format format = Format::parse(line.options.text("export-format"));
  Options options = run.options;
  options.set("eval-bits", to_text(format));
  check(options, family_.program);
  const PrecisionPlan plan = *precision_of(options, run).evaluation;
  const PackedWeights packed = pack_weights(run.task, run.state, plan, format);
  const std::string& path = line.options.text("out");
  const std::string bytes = to_safetensors(packed.file);
  write_file(path, bytes);
  show(to_table(packed));
  note(concat(packed.rows.size(), " weights in ", format, " and ", packed.others,
              " tensors in float32, ", bytes.size(), " bytes, after ", run.state.iteration,
              " steps: ", path));
}

void Session::dump_vectors(const CommandLine& line) {
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

}  // namespace ebb::cli
