#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace ebb::tools {

struct PlotOptions {
  std::vector<std::string> expressions{};
  std::int64_t iterations = 1000;
  std::string out{};                   ///< FILE.svg; empty: for the terminal
  std::optional<std::string> group{};  ///< whose part of group{...} is drawn
};

/// Draws schedules over the updates of a run, formats by their bits.
/// @throws ConfigError for options that are wrong; DataError if the file cannot be written
void plot_schedules(const PlotOptions& options, std::ostream& out, std::ostream& warnings);

}  // namespace ebb::tools
