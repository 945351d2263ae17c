#include "train/monitor.h"

#include <algorithm>
#include <cmath>

namespace ebb::train {

bool better(const EvalRow& row, const EvalRow& other) {
  if (std::isnan(row.score) || std::isnan(other.score))
    return !std::isnan(row.score) && std::isnan(other.score);
  return row.lower_is_better ? row.score < other.score : row.score > other.score;
}

void Monitor::see(const EvalRow& row) {
  if (row.split != split) return;
  if (!best || better(row, *best)) {
    best = row;
    evaluations_without_better = 0;
  } else {
    ++evaluations_without_better;
  }
}

void Monitor::see(const History& history) {
  for (const EvalRow& row : history.evaluations) see(row);
}

bool Monitor::exhausted_by(const EvalRow& row) const {
  Monitor then = *this;
  then.see(row);
  return then.exhausted();
}

std::string monitored_split(const History& history) {
  const bool any = std::ranges::any_of(
      history.evaluations, [](const EvalRow& row) { return row.split == "validation"; });
  return any ? "validation" : "test";
}

}  // namespace ebb::train
