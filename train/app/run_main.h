#pragma once

#include <functional>
#include <iosfwd>
#include <span>
#include <string>

#include "train/app/run.h"

namespace ebb::cli {

/// Where a program shows things.
struct Console {
  std::ostream& out;      ///< results
  std::ostream& err;      ///< progress, warnings, errors
  bool terminal = false;  ///< err is a terminal
  bool color = false;
  std::function<int()> width{};  ///< columns of that terminal at the moment
};

/// The exit codes of every program: what scripts rely on.
enum Exit : int { kDone = 0, kFailed = 1, kWrongCommandLine = 2, kInterrupted = 3 };

/// The whole program: reads the arguments, trains, evaluates or forecasts, and turns errors into
/// messages and exit codes. Ctrl-C and SIGTERM save a checkpoint and end a training as interrupted;
/// with --out none, as failed.
int run(std::span<const std::string> args, const ModelFamily& family, const Console& console);

/// The same on the process's own streams.
int run_main(int argc, char** argv, const ModelFamily& family);

}  // namespace ebb::cli
