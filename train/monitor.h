#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "train/record.h"

namespace ebb::train {

/// Whether the first of two evaluations of a split has the better score. One that is not a number
/// is worse than any other.
bool better(const EvalRow& row, const EvalRow& other);

/// Follows the score by which a run is judged on its way, that of one split. All it knows follows
/// from the evaluations on record, so a run that goes on goes on with it.
struct Monitor {
  std::string split{};                     ///< rows of other splits are passed over
  std::optional<std::int64_t> patience{};  ///< evaluations without a better score that end a run
  std::optional<EvalRow> best{};           ///< the first one of the best score
  std::int64_t evaluations_without_better = 0;  ///< since the best

  void see(const EvalRow& row);
  void see(const History& history);
  /// Whether patience has come to its end.
  [[nodiscard]] bool exhausted() const {
    return patience && evaluations_without_better >= *patience;
  }
  /// Whether it would have with one more evaluation.
  [[nodiscard]] bool exhausted_by(const EvalRow& row) const;
};

/// The split that judged a run: validation, or test where none was scored.
std::string monitored_split(const History& history);

}  // namespace ebb::train
