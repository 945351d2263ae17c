#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

namespace ebb::tools {

struct BoundOptions {
  std::string expression{};
  std::int64_t iterations = 0;
  double distance = 1;
  std::optional<double> norm{};
  std::string norms{};            ///< a file or a run, see read_norms; beside `norm`: neither
  std::optional<double> gamma{};  ///< none: the best
  bool path = false;              ///< the bound after every update instead
  bool json = false;
};

/// Writes omega (at gamma), gamma_star and omega_star of a schedule's last-iterate bound (see
/// schedules/last_iterate.h) as TSV, or one row an update.
/// @throws ConfigError for options that are wrong; DataError for norms that cannot be read
void print_bound(const BoundOptions& options, std::ostream& out);

struct TransferOptions {
  std::string from{}, to{};  ///< expressions; or, with neither, a plateau that goes on
  std::int64_t iterations = 0;
  std::optional<std::int64_t> to_iterations{};  ///< none: as many
  std::string cooldown = "20%";                 ///< of the plateau
};

/// By what to multiply the learning rate where a schedule takes the place of another; or how a run
/// with a plateau goes on for longer at its rate.
void print_transfer(const TransferOptions& options, std::ostream& out);

struct RefineOptions {
  std::string source{};  ///< a run, or a file of one norm per line
  int power = 2;
  double window = 0.1;
  bool extend = false;
  std::optional<std::int64_t> points{};  ///< entries of the table; none: one per update
};

/// Writes the schedule that is optimal for recorded gradient norms as an expression table(...).
void print_refined(const RefineOptions& options, std::ostream& out, std::ostream& warnings);

}  // namespace ebb::tools
