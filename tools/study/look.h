#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "quant/ledger.h"
#include "tools/study/runs.h"

namespace ebb::study {

/// How far the directory of a run is.
enum class Stage {
  absent,    ///< there is none
  begun,     ///< there is one; whether the run can go on in it, the program says
  finished,  ///< all steps and the last evaluation are done
};

/// Looks at a run's directory, and changes nothing.
/// @throws DataError if it holds a run of another program or with other options than `run`
Stage look(const std::string& directory, std::string_view program, const Run& run);

/// Whether a program is writing to it. Only for whoever claims the run: to find out, its lock is
/// taken for a moment, when no program must be starting there.
bool is_written_to(const std::string& directory);

/// Removes a directory that a program had made when it was killed and had put nothing in yet.
void remove_stillborn(const std::string& directory);

/// Steps done when the last checkpoint was saved; 0 without one that can be read.
std::int64_t saved_steps(const std::string& directory);

/// Where a run is, from the end of its record.
struct Position {
  std::int64_t done = 0, iterations = 0;  ///< steps; 0 of 0: not known yet
  std::optional<double> loss{};           ///< mean over the last steps that were read
  std::string bits{};                     ///< "int5/int5/int8"
  std::string metric{};                   ///< of the last evaluation; empty before the first
  double score = 0;
};

/// Follows the record of a run that may be being written to.
class Follower {
 public:
  explicit Follower(std::string directory = {}) : directory_(std::move(directory)) {}
  /// What the end of the record says. What cannot be read yet is as it was.
  const Position& position();

 private:
  std::string directory_;
  Position position_;
  std::int64_t steps_read_ = -1, evaluations_read_ = -1;  // sizes of the files then
};

/// Time that a finished run took, evaluations with it.
double seconds_of(const std::string& directory);

/// What a run would cost, from its --dry-run --json.
struct Prediction {
  std::int64_t iterations = 0;
  uint128 bit_ops = 0;
  double macs = 0;  ///< forward, of all steps: what time depends on, whatever the bits
  double relative_cost = 0;
  std::string cost_reference{};
  std::string lr_schedule{};
};
/// @throws DataError for a text that is none
Prediction parse_prediction(std::string_view text);

}  // namespace ebb::study
