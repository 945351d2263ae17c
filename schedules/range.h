#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "schedules/bound.h"
#include "schedules/value.h"

namespace ebb {

/// What is known of a schedule's values over some updates without reading each of them.
struct ValueRange {
  double low = 0, high = 0;       ///< the numbers lie between these, ends included
  std::optional<Format> named{};  ///< the format, if all values are the same named format
  bool known = true;              ///< false: any number, NaN or name may occur

  static ValueRange of(const Value& value) {
    return {.low = value.number,
            .high = value.number,
            .named = value.named,
            .known = value.number == value.number};
  }
  static ValueRange unknown() { return {.known = false}; }

  bool is_number() const { return known && !named; }
  /// All of them are `low`, or the name.
  bool is_one() const { return known && (named || low == high); }
};

/// Consecutive updates with one value.
struct Segment {
  std::int64_t first = 0, updates = 0;
  Value value;
};

/// Bounds on the values of updates first .. last, found from the expression: they hold, but need
/// not be the narrowest.
ValueRange range_of(const Bound& bound, std::int64_t first, std::int64_t last);

/// Bisects updates first .. last, the earlier half first, until `settled` returns true for a part
/// or the part is a single update, whose range is its value.
using Settled = std::function<bool(std::int64_t first, std::int64_t last, const ValueRange&)>;
void halve(const Bound& bound, std::int64_t first, std::int64_t last, const Settled& settled);

inline constexpr std::int64_t kMaxSegments = std::int64_t{1} << 20;

/// The segments of the run, in time that grows with their number, not with that of the updates.
/// @throws ConfigError if there are more than kMaxSegments
std::vector<Segment> segments_of(const Bound& bound);

}  // namespace ebb
