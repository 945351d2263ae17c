#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schedules/schedule.h"

namespace ebb {

/// What a run remembers of a closed-loop schedule.
struct ScheduleState {
  std::int64_t clock = 0;
  std::vector<Controller> controllers;  ///< those of Bound::controllers, as they are by now
};

/// What may differ from the schedule that a state was saved under.
enum class LoadPolicy : std::uint8_t {
  same,   ///< nothing: equal texts
  rebind  ///< everything but which controllers there are, in which order, and what they watch; a
          ///< new expression on the old clock
};

/// Text, one key=value per line, numbers as C hex floats without 0x: version, expression, hash,
/// clock, then the state of each controller.
std::string save_state(const Schedule& schedule, const ScheduleState& state);
/// @param fresh the controllers of the schedule as it is bound now
/// @throws DataError for a text that is no state or was changed, or that is of another schedule
/// than the policy allows, with both texts
ScheduleState load_state(std::string_view text, const Schedule& schedule,
                         const std::vector<Controller>& fresh, LoadPolicy policy);

/// What the first `record` in a state has recorded, whatever the expression; nothing if it has
/// none.
/// @throws DataError for a number that is none
std::optional<std::vector<double>> recorded_series(std::string_view text);

}  // namespace ebb
