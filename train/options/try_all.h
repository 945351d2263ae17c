#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "schedules/range.h"
#include "schedules/schedule.h"

namespace ebb::train {

/// Schedules are pure functions of the iteration: a value that cannot be used is known before
/// anything is trained. Calls use(t) at updates among which are those of the lowest and the highest
/// number and of every name, but for those of ranges that are fine: the flat ends of a curve have
/// too many numbers that differ in the last bit.
template <class Fine, class Use>
void try_all(std::string_view option, const Bound& bound, const Fine& fine, const Use& use) {
  std::optional<double> low, high;  // of the numbers so far
  const auto within = [&](const ValueRange& range) {
    return low && range.is_number() && *low <= range.low && range.high <= *high;
  };
  const auto use_and_note = [&](std::int64_t t) {
    use(t);
    if (const Value value = bound.value(t); value.is_number()) {
      low = low ? std::min(*low, value.number) : value.number;
      high = high ? std::max(*high, value.number) : value.number;
    }
  };
  halve(bound, 0, bound.updates() - 1,
        [&](std::int64_t first, std::int64_t last, const ValueRange& range) {
          if (fine(range) || within(range)) return true;
          try {
            use_and_note(first);
          } catch (const ConfigError& error) {
            throw ConfigError(
                concat("[command line] --", option, " at iteration ", first, ": ", error.what()));
          }
          if (first == last || range.is_one()) return true;
          try {
            use_and_note(last);  // both ends settle a curve that only rises or only falls
          } catch (const ConfigError&) {
            return false;  // the halves will come to the first of the updates that cannot be used
          }
          return within(range);
        });
}

}  // namespace ebb::train
