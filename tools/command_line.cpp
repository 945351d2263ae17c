#include "tools/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "tools/ap_command.h"
#include "tools/ngram_command.h"
#include "tools/option_checks.h"
#include "tools/program_of_run.h"
#include "tools/range_command.h"
#include "tools/report/report_command.h"
#include "tools/reproduce.h"
#include "tools/study/sweep.h"
#include "train/app/inspect.h"

namespace ebb::tools {
namespace {

/// Adds the options that were given, for another program to read.
void add_given(std::vector<std::string>& words, const CLI::App& command) {
  for (const CLI::Option* each : command.get_options()) {
    if (each->count() == 0 || each->get_lnames().empty()) continue;
    words.push_back("--" + each->get_lnames()[0]);
    if (each->get_expected_max() > 0) words.push_back(each->results()[0]);  // else a flag
  }
}

}  // namespace

constexpr const char* kCostModelHelp =
    "what costs are counted in: bits, multiplier, datapath, datapath(K=N), throughput or "
    "throughput(BITS=SPEED,...) [as the run says]";

void add_inspect_command(CLI::App& app, std::ostream& out, std::ostream& warnings) {
  struct Settings {
    std::vector<std::string> runs;
    std::string cost_reference, cost_model;
    bool json = false;
  };
  const auto settings = std::make_shared<Settings>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show accuracy, cost and time of a run, or a table of several runs");
  command->add_option("RUN", settings->runs, "run directories")->required();
  command->add_option("--cost-reference", settings->cost_reference,
                      "widths of weights, activations and gradients that costs are compared with "
                      "[as the run says]");
  command->add_option("--cost-model", settings->cost_model, kCostModelHelp);
  command->add_flag("--json", settings->json, "one JSON object; of several runs an array");
  command->callback([settings, &out, &warnings] {
    train::CostChoice costs;
    if (!settings->cost_reference.empty())
      costs.reference = parse_cost_reference(settings->cost_reference);
    if (!settings->cost_model.empty()) costs.model = CostModel::parse(settings->cost_model);
    if (settings->runs.size() > 1)
      return report::inspect_runs(settings->runs, costs, settings->json, out, warnings);
    const train::Inspection inspection = train::inspect(settings->runs[0], costs);
    out << (settings->json ? train::to_json(inspection) : train::to_table(inspection))
        << std::flush;
    require<DataError>(out.good(), "[inspect] standard output cannot be written");
  });
}

void add_report_command(CLI::App& app, std::ostream& out, std::ostream& warnings) {
  const auto options = std::make_shared<report::ReportOptions>();
  CLI::App* const command =
      app.add_subcommand("report", "Compare runs on one page: score against cost, curves, a table");
  command
      ->add_option("DIR", options->directories,
                   "run directories, folders of runs, or the folder of a study")
      ->required();
  command
      ->add_option("-o,--out", options->out,
                   "the page to write, FILE.html; of a figure FILE.svg or FILE.csv")
      ->required();
  command->add_option("--title", options->title, "title of the page [that of the study]");
  command->add_option(
      "--figure", options->figure,
      "one figure alone: pareto, curves, schedules, cost, range, periods, quality or "
      "probe");
  command->add_option("--baseline", options->baseline,
                      "options of the runs that others are compared with, seed by seed, such as "
                      "'schedule=static' [as the study says, or else schedule=static]");
  command->add_option("--cost-model", options->cost_model, kCostModelHelp);
  command->add_flag("--watch", options->watch,
                    "write again whenever a run changed, until interrupted");
  command->callback([options, &out, &warnings] { report::report(*options, out, warnings); });
}

void add_export_command(CLI::App& app, std::ostream& out, std::ostream& warnings) {
  struct Settings {
    report::ExportOptions table;
    bool weights = false;
    std::string format;
  };
  const auto settings = std::make_shared<Settings>();
  CLI::App* const command = app.add_subcommand(
      "export", "Print what runs recorded as one table, or write the weights of one packed");
  command
      ->add_option("RUN", settings->table.directories,
                   "run directories, folders of runs, or the folder of a study; with --weights one "
                   "run directory")
      ->required();
  CLI::Option* const steps =
      command->add_flag("--steps", settings->table.steps, "one row per update");
  command->add_flag("--evals", settings->table.evaluations, "one row per evaluation")
      ->excludes(steps);
  command->add_option("--cost-model", settings->table.cost_model, kCostModelHelp);
  command->add_flag("--csv", settings->table.csv, "CSV instead of TSV");
  command->add_flag("--weights", settings->weights,
                    "write codes and scales of the weights of matrix products, and all else in "
                    "float32, as safetensors");
  command->add_option("--format", settings->format, "format of the weights, such as mxfp4 or int4");
  // The run's program reads what these say.
  command->add_option("-o,--out", "FILE.safetensors to write");
  command->add_option("--checkpoint", "last, best, or after N steps [last]");
  command->add_option("--data", "where the run's data are, if they moved");
  command->callback([command, settings, &out, &warnings] {
    if (!settings->weights) {
      for (const char* each : {"--format", "--out", "--checkpoint", "--data"})
        refuse_without_effect(*command, each, true, "without --weights");
      return report::export_runs(settings->table, out, warnings);
    }
    for (const char* each : {"--steps", "--evals", "--cost-model", "--csv"})
      refuse_without_effect(*command, each, true, "with --weights");
    for (const char* each : {"--format", "--out"})
      require<ConfigError>(command->get_option(each)->count() > 0, "[export] --weights needs ",
                           each, "; add it");
    require<ConfigError>(settings->table.directories.size() == 1,
                         "[export] --weights takes one run, got ",
                         settings->table.directories.size());
    const std::string& run = settings->table.directories[0];
    std::vector<std::string> words{"--export", run, "--export-format", settings->format};
    for (const char* each : {"--out", "--checkpoint", "--data"}) {
      if (command->get_option(each)->count() > 0)
        words.insert(words.end(), {each, command->get_option(each)->results()[0]});
    }
    become_program_of(run, "export", std::move(words));
  });
}

void add_evaluate_command(CLI::App& app) {
  const auto run = std::make_shared<std::string>();
  CLI::App* const command = app.add_subcommand(
      "evaluate", "Score the checkpoint of a run in one format after the other, as TSV");
  command->add_option("RUN", *run, "run directory")->required();
  // The run's program reads what they say.
  command->add_option("--eval-format", "formats such as e4m3,int4,mxfp4,fp32")->required();
  command->add_option("--checkpoint", "last, best, or after N steps [last]");
  command->add_option("--accumulator", "what products are summed in [as in the run]");
  command->add_option("--cost-model", kCostModelHelp);
  command->add_option("--data", "where the run's data are, if they moved");
  command->add_option("--threads", "threads; never changes a result");
  command->add_flag("--json")->description("a JSON array instead of TSV");
  command->callback([command, run] {
    std::vector<std::string> words{"--evaluate", *run};
    add_given(words, *command);
    become_program_of(*run, "evaluate", std::move(words));
  });
}

void add_dump_command(CLI::App& app) {
  const auto run = std::make_shared<std::string>();
  CLI::App* const command =
      app.add_subcommand("dump", "Write codes, sums, scales and results of the products of a step");
  command->add_option("RUN", *run, "run directory")->required();
  // The run's program reads what they say.
  command->add_option("--step", "iteration, from 0")->required();
  command->add_option("--site", "layer, or a dotted prefix of layer names")->required();
  command->add_option("--product",
                      "forward, grad_left, grad_right, aggregate or aggregate_grad "
                      "[all]");
  command->add_option("--index", "which of a layer's products of that kind [0]");
  command->add_option("-o,--out", "folder to write into")->required();
  command->add_option("--data", "where the run's data are, if they moved");
  command->add_option("--threads", "threads; never changes a result");
  command->callback([command, run] {
    std::vector<std::string> words{"--dump", *run};
    add_given(words, *command);
    become_program_of(*run, "dump", std::move(words));
  });
}

void add_predict_command(CLI::App& app) {
  struct Settings {
    std::string run;
    std::vector<std::string> files;
  };
  const auto settings = std::make_shared<Settings>();
  CLI::App* const command =
      app.add_subcommand("predict", "Score your own files with the checkpoint of a run, as TSV");
  command->add_option("RUN", settings->run, "run directory")->required();
  command->add_option("FILE", settings->files, "files to score; docs/PROGRAMS.md says which")
      ->required();
  // The run's program reads what they say.
  command->add_option("--checkpoint", "last, best, or after N steps [last]");
  command->add_option("--eval-bits", "forward bits, or a format [as the run was scored]");
  command->add_option("--data", "where the run's data are, if they moved");
  command->add_option("--threads", "threads; never changes a result");
  command->callback([command, settings] {
    for (const std::string& file : settings->files)
      require<ConfigError>(!file.empty() && file.find('\n') == std::string::npos,
                           "[predict] a name of a file is empty or has a line feed in it");
    std::vector<std::string> words{"--evaluate", settings->run, "--input",
                                   join_words(settings->files, "\n")};
    add_given(words, *command);
    become_program_of(settings->run, "predict", std::move(words));
  });
}

void add_import_command(CLI::App& app) {
  struct Settings {
    std::string file, map, program, out;
    std::vector<std::string> options;
  };
  const auto settings = std::make_shared<Settings>();
  CLI::App* const command = app.add_subcommand(
      "import",
      "Create a run from a safetensors file, to score, train further or start other runs from");
  command->add_option("FILE", settings->file, "safetensors file, F32 or F64")->required();
  command->add_option(
      "--map", settings->map,
      "TOML file that maps names, \"Ebb's name\" = \"name in the file\" [the same names]");
  command->add_option("--program", settings->program, "a training program, such as ebb-cnn")
      ->required();
  command->add_option("-o,--out", settings->out, "run directory to make")->required();
  command->add_option("OPTIONS", settings->options,
                      "after --: options of the network and its data");
  command->callback([settings] {
    std::vector<std::string> words = settings->options;
    words.insert(words.end(), {"--import", settings->file, "--out", settings->out});
    if (!settings->map.empty()) words.insert(words.end(), {"--map", settings->map});
    become_program(settings->program, "import", std::move(words));
  });
}

void add_ngram_command(CLI::App& app, std::ostream& out) {
  const auto options = std::make_shared<NgramOptions>();
  CLI::App* const command =
      app.add_subcommand("ngram", "Score a text by n-gram models, the baseline of language models");
  command
      ->add_option("--data", options->data,
                   "Text file, folder with train.txt and valid.txt, or embedded")
      ->capture_default_str();
  command->add_option("--unit", options->unit, "auto, byte, word or bpe")->capture_default_str();
  command->add_option("--vocabulary", options->vocabulary,
                      "most words, or tokens of bpe [50000; bpe: 2048]");
  command->add_option("--order", options->order, "Longest n-grams, 1 .. 8")
      ->capture_default_str()
      ->check(integer_check, "");
  command->callback([options, &out] { ngram(*options, out); });
}

void add_ap_command(CLI::App& app, std::ostream& out) {
  const auto options = std::make_shared<ApCommandOptions>();
  CLI::App* const command =
      app.add_subcommand("ap", "Score detections: average precision by class and their mean");
  command
      ->add_option("--ground-truth", options->ground_truth,
                   "file of COCO's instances, or what ebb-detect --data takes")
      ->required();
  command->add_option("--detections", options->detections, "file of COCO's results")->required();
  command->add_option("--metric", options->metric, "voc07, voc or coco")->required();
  command
      ->add_option("--iou", options->iou,
                   "least overlap of a match, or several with commas [0.5; coco: 0.5 to 0.95]")
      ->delimiter(',');
  command->add_option("--split", options->split,
                      "train, validation or test, where --ground-truth is a data set [test]");
  command->add_flag("--inclusive", options->inclusive,
                    "boxes end with their last pixel, as Pascal VOC's do");
  command->add_flag("--json", options->json, "one JSON object");
  command->callback([options, &out] { average_precisions(*options, out); });
}

void add_range_command(CLI::App& app, std::ostream& out, std::ostream& err, int& exit_code) {
  const auto options = std::make_shared<RangeOptions>();
  CLI::App* const command = app.add_subcommand(
      "range-test", "Train at rising widths and say which is the lowest that works");
  report::RangeSettings& settings = options->settings;
  const auto window = std::make_shared<std::optional<std::int64_t>>();
  const auto count = [&](const char* name, std::int64_t& value, const char* help) {
    command->add_option(name, value, help)->capture_default_str()->check(integer_check, "");
  };
  command->add_option("--program", options->program, "a training program, such as ebb-cnn")
      ->required();
  count("--min-bits", settings.low, "the lowest width that is tried");
  count("--max-bits", settings.high, "the highest width tried, and the width of gradients");
  count("--updates", settings.updates, "updates at each width");
  command
      ->add_option("--window", *window,
                   "the last updates of a width, whose mean is its score [half of --updates]")
      ->check(integer_check, "");
  command->add_option("--threshold", settings.threshold,
                      "a width works if it improves on the previous width by this much: in "
                      "training accuracy, as a fraction [0.01], or in loss [0.05]");
  command->add_option(
      "-o,--out", options->out,
      "run directory [runs/range-PROGRAM-ARCH]; an unfinished test there is continued");
  command->add_flag("--json", options->json, "one JSON object on stdout");
  command->add_option("OPTIONS", options->options, "after --: options of the training run");
  command->callback([options, window, &out, &err, &exit_code] {
    options->settings.window = window->value_or(options->settings.updates / 2);
    exit_code = range_test(*options, out, err);
  });
}

void add_sweep_command(CLI::App& app, std::ostream& out, std::ostream& err, int& exit_code) {
  const auto options = std::make_shared<study::SweepOptions>();
  CLI::App* const command = app.add_subcommand(
      "sweep", "Run a study: many runs from one file, resumable (docs/SWEEPS.md)");
  command->add_option("STUDY", options->study, "study file (TOML)")->required();
  command->add_option("--jobs", options->jobs, "runs at a time [processors / threads]")
      ->check(integer_check, "");
  command
      ->add_option("--threads", options->threads,
                   "threads of each run [1, more if there are fewer runs than processors]")
      ->check(integer_check, "");
  command
      ->add_option("--set", options->set,
                   "OPTION=VALUE: an option of all runs, in place of the study's; data=DIR, say")
      ->expected(1)
      ->take_all();
  command->add_option("--shard", options->shard,
                      "i/n: start with the i-th of n parts of the study, then take runs that no "
                      "other machine has claimed");
  command->add_flag("--dry-run", options->dry_run,
                    "show the runs with predicted bit-operations and, once some are finished, "
                    "time; run nothing");
  command->add_flag("--json", options->json, "one JSON object on stdout at the end");
  command->add_flag("--yes", options->yes, "confirm a grid of more than 10,000 runs");
  command->callback(
      [options, &out, &err, &exit_code] { exit_code = study::sweep(*options, out, err); });
}

void add_reproduce_command(CLI::App& app, std::ostream& out, std::ostream& err, int& exit_code) {
  const auto options = std::make_shared<ReproduceOptions>();
  CLI::App* const command = app.add_subcommand(
      "reproduce", "Run the study of a paper, some minutes, and judge its claims");
  command->add_option("NAME", options->name, "which; all there are if it is left out");
  command->add_option("--seeds", options->seeds, "seeds of every configuration [5]")
      ->check(integer_check, "");
  command->add_option("--out", options->out, "folder of the runs [runs/reproduce-NAME]");
  command->add_option("--jobs", options->jobs, "runs at a time [processors / threads]")
      ->check(integer_check, "");
  command->add_option("--threads", options->threads, "threads of each run")
      ->check(integer_check, "");
  command
      ->add_option("--set", options->set,
                   "OPTION=VALUE: an option of all runs, in place of the study's; data=DIR, say")
      ->expected(1)
      ->take_all();
  command->add_flag("--json", options->json, "one JSON object on stdout at the end");
  command->callback(
      [options, &out, &err, &exit_code] { exit_code = reproduce(*options, out, err); });
}

}  // namespace ebb::tools
