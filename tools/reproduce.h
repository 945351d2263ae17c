#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebb::tools {

/// A study of a paper's claims, small enough for minutes: experiments/reproduce/NAME.toml, which
/// the build puts into the program. NAME.then.toml is what follows once the runs of the first are
/// done: {refined} in it is the schedule that the gradient norms of the best of them ask for.
struct Reproduction {
  std::string_view name, text;
};
std::span<const Reproduction> reproductions();

struct ReproduceOptions {
  std::string name{};  ///< empty: list what there is
  std::optional<std::int64_t> seeds{}, jobs{}, threads{};
  std::string out{};               ///< folder; empty: runs/reproduce-NAME
  std::vector<std::string> set{};  ///< "iterations=10": options of all runs
  bool json = false;
};

/// Runs the study, or goes on with it, as a sweep does; then says what its runs come to, with
/// standard errors, judges every claim, and writes OUT/report.html.
/// @return the exit code: 0 all runs are finished, 1 some failed, 3 interrupted and saved
/// @throws ConfigError for a name that there is not; else as study::sweep
int reproduce(const ReproduceOptions& options, std::ostream& out, std::ostream& err);

}  // namespace ebb::tools
