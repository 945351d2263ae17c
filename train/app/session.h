#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "train/app/progress.h"
#include "train/app/recorded.h"
#include "train/app/run.h"
#include "train/app/run_main.h"
#include "train/monitor.h"
#include "train/record.h"

namespace ebb::cli {

/// The program on one command line.
class Session {
 public:
  Session(const ModelFamily& family, const Console& console) : family_(family), console_(console) {}

  /// @throws whatever ends the program as failed or as a wrong command line
  Exit operator()(std::span<const std::string> args);

 private:
  void show(const std::string& text);
  void tell(const std::string& text);
  void say(const std::string& text);
  // What --quiet leaves out: warnings, too.
  void note(const std::string& text);

  // Options become a run.
  Run prepare(const train::Options& options, const train::RunConfig* recorded = nullptr);
  // The same, of a run that begins: what is doubtful about its options is said once.
  Run prepare_new(const train::Options& options);
  void start_from_other(Run& run);
  // None if --out says so.
  std::optional<train::RunDirectory> new_directory(const Run& run, const train::RunConfig& config);
  static void save(train::RunDirectory& directory, const train::RunState& state,
                   const train::RunConfig& config,
                   const std::string& name = train::kLastCheckpoint);

  // Runs that train (session.cpp).
  Exit begin(const train::Options& options);
  Exit resume(const train::CommandLine& line);
  Exit train_on(Run& run, std::optional<train::RunDirectory>& directory,
                const train::RunConfig& config, train::History history, bool resumed);
  void dry_run(const train::Options& options);
  // What the loop reports goes to the record, the screen and the monitor.
  train::LoopEvents events_of(const Run& run, std::optional<train::RunDirectory>& directory,
                              const train::RunConfig& config, train::History& history,
                              train::Monitor& monitor, train::Progress& progress);
  train::Progress progress_of(const Run& run, const train::History& before);
  void watch(train::Progress& progress, const train::Split& split, std::int64_t done);

  // Runs that others made (session_runs.cpp).
  // A run of no steps, which others go on with.
  void import_weights(const train::Options& options);
  // A run that is scored or writes a text, with the checkpoint that was asked for.
  Recorded read_chosen(const std::string& directory, const train::Options& options);
  // What a run directory says, whichever of its files says it.
  Recorded read(const std::string& directory,
                const std::function<std::optional<train::Checkpoint>()>& read_checkpoint);
  train::Options options_of_evaluation(const train::CommandLine& line, const Recorded& recorded,
                                       const std::vector<std::string>& free);
  void evaluate_run(const train::CommandLine& line);
  // In one format after the other.
  void score_formats(Run& run, const train::LoopEvents& events);
  // Somebody's files, as a table of tabs.
  void score_files(const train::CommandLine& line, const Recorded& recorded);
  void generate_text(const train::CommandLine& line);
  // The run's directory stays as it is.
  void export_weights(const train::CommandLine& line);
  void dump_vectors(const train::CommandLine& line);

  const ModelFamily& family_;
  const Console& console_;
  bool loud_ = true;
};

}  // namespace ebb::cli
