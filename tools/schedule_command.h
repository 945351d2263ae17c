#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

namespace ebb::tools {

struct ScheduleOptions {
  std::string name = {}, expression = {};  ///< one of the two
  std::int64_t iterations = 0, cycles = 8;
  int min_bits = 3, max_bits = 8;
  bool max_bits_given = false;  ///< an expression beside it is meant to be a schedule of bits
  std::optional<std::string> gradient_bits = {};   ///< a width or fp32; none: 8
  std::optional<std::string> cost_reference = {};  ///< see parse_cost_reference; none: 8/8/8
  std::string period = "floor+1";
  std::optional<std::string> group =
      {};  ///< whose part of group{...} is wanted, "*" for all others
  bool summary = false;
};

/// Writes the schedule as TSV, one row per iteration, or its summary; doubtful settings go to
/// `warnings`.
/// @throws ConfigError for settings that are wrong or contradict each other, DataError if `out`
/// cannot be written
void print_schedule(const ScheduleOptions& options, std::ostream& out, std::ostream& warnings);

}  // namespace ebb::tools
