#pragma once

#include <functional>
#include <iosfwd>
#include <span>
#include <string>

#include "core/params.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::cli {

/// A program that trains one kind of model. Everything that knows images, tokens or graphs is
/// behind `build`.
struct ModelFamily {
  train::Program program;
  /// Opens the data, adds the network to the store, and says how to train and score it. All options
  /// are filled in and checked.
  std::function<train::Task(const train::Options&, ParamStore&)> build;
};

/// Where a program shows things.
struct Console {
  std::ostream& out;      ///< results
  std::ostream& err;      ///< progress, warnings, errors
  bool terminal = false;  ///< err is a terminal
  bool color = false;
};

/// The exit codes of every program: what scripts rely on.
enum Exit : int { kDone = 0, kFailed = 1, kWrongCommandLine = 2, kInterrupted = 3 };

/// The whole program: reads the arguments, trains, evaluates or forecasts, and turns errors into
/// messages and exit codes. Ctrl-C and SIGTERM save a checkpoint and end the program as
/// interrupted; without a run directory, as failed.
int run(std::span<const std::string> args, const ModelFamily& family, const Console& console);

/// The same on the process's own streams.
int run_main(int argc, char** argv, const ModelFamily& family);

}  // namespace ebb::cli
