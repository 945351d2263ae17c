#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/params.h"
#include "quant/ledger.h"
#include "quant/plan.h"
#include "train/config.h"
#include "train/loop.h"
#include "train/options/options.h"
#include "train/options/precision.h"

namespace ebb::cli {

/// A program that trains one kind of model. Everything that knows images, tokens or graphs is
/// behind `build`.
struct ModelFamily {
  train::Program program;
  /// Opens the data, adds the network to the store, and says how to train and score it. All options
  /// are filled in and checked.
  std::function<train::Task(const train::Options&, ParamStore&)> build;
};

/// Everything that the options come to.
struct Run {
  train::Options options;
  train::Task task{};
  train::RunState state{};
  CostLedger example{};       ///< the products of one example
  std::vector<Site> sites{};  ///< where there are products
  train::Precision precision{};
  train::LoopSettings settings{};
};

/// Under which name config.json has the hash of --multiplier's table, among the data.
inline constexpr const char* kMultiplierEntry = "multiplier";

/// Fills in the defaults, checks the options, and builds network, data and plan. Of a run that only
/// writes a text, and needs no data for it, `recorded` says how long its training was.
Run assemble(train::Options options, const ModelFamily& family,
             const train::RunConfig* recorded = nullptr);

std::int64_t iterations_of(const train::Options& options, const train::Task& task);
/// How long the run is, in every unit of schedules.
Totals totals_of(const train::Options& options, const Run& run);
/// What the precision options come to for the run's network and the length in `options`.
train::Precision precision_of(const train::Options& options, const Run& run);

/// What config.json says of the run.
train::RunConfig config_of(const Run& run, const std::string& program);

/// "runs/PROGRAM-ARCH-SCHEDULE-seedN", the schedule as a file may be named.
std::string default_directory(const train::Options& options, const std::string& program);

/// What is printed on stderr before a run trains: what it trains on what, how, and where it is
/// saved.
struct Destination {
  std::string directory{};  ///< empty: nothing is saved
  bool resumed = false;
};
std::string banner(const Run& run, const train::Program& program, const Destination& where);

}  // namespace ebb::cli
