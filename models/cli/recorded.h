#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/params.h"
#include "train/checkpoint.h"
#include "train/report.h"

namespace ebb::cli {

/// What the directory of a run says that goes on, is scored, or writes a text.
struct Recorded {
  train::RunConfig config;
  std::optional<train::Checkpoint> checkpoint;
};

/// @throws DataError if the run is not one of `program`, or the checkpoint was not saved under the directory's configuration
Recorded read_recorded(const std::string& directory, const std::string& program,
                       const std::function<std::optional<train::Checkpoint>()>& read_checkpoint);

/// What makes two runs the same: program and options that shape results, as the checkpoint keeps them.
std::string identity(const train::RunConfig& config);

/// @throws DataError naming the first entry of `now`, which is a Task::data, that the run recorded otherwise
void check_same_data(const train::RunConfig& recorded, const train::Texts& now);

/// Begins with what another run has learnt (see take_params), and adds to `data` the identity of its weights.
/// @throws DataError if nothing fits, or the two runs' tokens mean different things
train::TakenParams start_from(const std::string& directory, train::Texts& data, ParamStore& params);

}  // namespace ebb::cli
