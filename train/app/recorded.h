#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/params.h"
#include "train/app/report.h"
#include "train/app/run.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/options/options.h"
#include "train/options/precision.h"
#include "train/record.h"

namespace ebb::cli {

/// What the directory of a run says that goes on, is scored, or writes a text.
struct Recorded {
  train::RunConfig config;
  std::optional<train::Checkpoint> checkpoint;
  std::string warning;  ///< if config.json cannot be read, or is older, so that the checkpoint's
                        ///< configuration is used
};

/// @throws DataError if the run is not one of `program`, or the checkpoint was not saved under the
/// directory's configuration
Recorded read_recorded(const std::string& directory, const train::Program& program,
                       const std::function<std::optional<train::Checkpoint>()>& read_checkpoint);

/// What makes two runs the same: program and options that shape results, as the checkpoint keeps
/// them.
std::string identity(const train::RunConfig& config);
/// What the checkpoint keeps of the configuration besides that, for want of config.json: the data
/// and how often to record.
std::string remainder(const train::RunConfig& config);
inline constexpr const char* kRemainder = "run";  ///< the name of that note

/// The options of a run that goes on: its own, with those of the command line that are adjustable.
/// They change nothing of the steps done, which is checked (see check_same_data, check_same_past).
/// @throws DataError naming the first given option that is not
train::Options options_to_resume(const train::CommandLine& line, const train::RunConfig& recorded);

/// `recorded` with what the run's adjustable options are now.
train::RunConfig updated(const train::RunConfig& recorded, const train::RunConfig& now,
                         const train::Options& options);

/// @throws DataError unless a run of a new length has the bits and rates of the old one in its
/// first `done` steps
void check_same_past(const train::Precision& before, const train::Precision& now,
                     std::int64_t done);
/// Checks a run that may end elsewhere than it was to when its checkpoint was saved, and returns
/// what there is to say about it, as sentences.
/// @throws DataError if it cannot end there
std::vector<std::string> check_new_length(const Run& run, const train::Program& program,
                                          const train::RunConfig& saved_under);
/// Without a checkpoint a run begins anew. @throws DataError if there must have been one
void check_never_saved(const train::RunDirectory& directory, const train::RunConfig& recorded);
/// Whether both score at the same formats.
bool same_evaluations(const train::Precision& before, const train::Precision& now);

/// @throws DataError naming the first entry of `now`, which is a Task::data, that the run recorded
/// otherwise
void check_same_data(const train::RunConfig& recorded, const KeyValues& now);

/// The same of a run that is scored, or writes a text: its multiplier may be another.
void check_same_scored(const train::RunConfig& recorded, KeyValues now,
                       const train::CommandLine& line);

/// Begins with what another run has learnt (see take_params), and adds to `data` the identity of
/// its weights.
/// @throws DataError if nothing fits, or the two runs' tokens mean different things
train::TakenParams start_from(const std::string& directory, KeyValues& data, ParamStore& params);

}  // namespace ebb::cli
