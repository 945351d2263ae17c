#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/record.h"

namespace ebb::report {

/// A precision range test: one run whose forward bits step up from `low` to `high`, so many updates
/// at each width. Its file in the run's directory holds these settings; what follows from them is
/// computed from the record.
struct RangeSettings {
  std::int64_t low = 2, high = 8;  ///< bits
  std::int64_t updates = 200;      ///< at each width
  std::int64_t window = 100;       ///< the last updates of a width, which its score is a mean over
  std::optional<double> threshold{};  ///< gain that a width must exceed; none: 0.01 of accuracies,
                                      ///< 0.05 of losses
  friend bool operator==(const RangeSettings&, const RangeSettings&) = default;
};
inline constexpr const char* kRangeFile = "/range.json";

struct RangeWidth {
  std::int64_t bits = 0;
  double score = 0;  ///< mean over the window
  double gain = 0;   ///< to the width before, the first one to `RangeTest::base`
};

struct RangeTest {
  RangeSettings settings{};
  double threshold = 0;
  bool of_accuracy = false;             ///< else of the training loss, where less is more
  std::optional<double> base{};         ///< mean over the first window of the lowest width
  std::vector<RangeWidth> widths{};     ///< those whose updates are all on record
  std::optional<std::int64_t> found{};  ///< the first width whose gain exceeds the threshold

  [[nodiscard]] bool complete() const {
    return static_cast<std::int64_t>(widths.size()) == settings.high - settings.low + 1;
  }
  /// The lowest width to train at: the one found, else the highest. None before one is found or the
  /// test is complete.
  [[nodiscard]] std::optional<std::int64_t> min_bits() const {
    return found ? found : complete() ? std::optional(settings.high) : std::nullopt;
  }
};

/// @throws ConfigError unless 1 <= low < high <= 16 and twice the window fits the updates of a
/// width
void check(const RangeSettings& settings);

/// The bits of such a run, as a schedule expression.
std::string range_schedule(const RangeSettings& settings);

/// What the record of such a run comes to.
RangeTest judge_range(const train::History& history, const RangeSettings& settings);

std::string to_json(const RangeSettings& settings);
/// With what it came to, for `--json`.
std::string to_json(const RangeTest& test, const std::string& run);
std::string to_table(const RangeTest& test);
/// @throws DataError for a text that is none
RangeSettings parse_range_settings(const std::string& json);

}  // namespace ebb::report
