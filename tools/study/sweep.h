#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace ebb::study {

/// What `ebb sweep` is told.
struct SweepOptions {
  std::string study{};  ///< file
  std::optional<std::int64_t> jobs{}, threads{};
  std::string shard{};             ///< "2/3"; empty: all of it
  std::vector<std::string> set{};  ///< "data=DIR": options of all runs, in place of the study's
  bool dry_run = false, json = false;
  bool yes = false;  ///< a grid of more than kMostRuns is meant

  std::optional<std::string> text{};    ///< of the study, in place of a file
  std::string out{};                    ///< folder, in place of the study's
  std::optional<std::int64_t> seeds{};  ///< 1 .. so many in place of the study's
  std::string command{};                ///< that goes on with it, in place of this one's
};

/// Runs a study, or says what it would run. Results go to `out`; what is under way to `err`, as a
/// table if that is standard error and a terminal.
/// @return the exit code: 0 all runs are finished, 1 some failed, 3 interrupted and saved
/// @throws ConfigError for a study or options that are wrong, DataError if the study's folder
/// cannot be written
int sweep(const SweepOptions& options, std::ostream& out, std::ostream& err);

}  // namespace ebb::study
