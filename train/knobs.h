#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/hyperparameters.h"
#include "optim/optimizer.h"
#include "schedules/autolrs.h"
#include "schedules/schedule.h"
#include "schedules/state.h"

namespace ebb::train {

/// A setting of the loop that follows a schedule, closed loops included.
struct Knob {
  std::string name;  ///< lr, clip, or a hyperparameter of the optimizer such as weight-decay
  Schedule schedule;
  Bound bound;
  std::vector<Controller> controllers;   ///< as they are by now
  LoadPolicy policy = LoadPolicy::same;  ///< for the state of a run that goes on

  Knob(std::string of, const Schedule& as, const Bound& over)
      : name(std::move(of)), schedule(as), bound(over), controllers(over.controllers()) {}
  [[nodiscard]] double value(std::int64_t t) const;
};

/// What a step does with its knobs.
struct Turned {
  double rate = 0;  ///< without the factors of controllers of their own
  bool rate_set = false;
  std::optional<double> clip{};
  NamedNumbers values{};  ///< of every knob, by name
};
/// Reads the knobs for update t, and sets the optimizer's hyperparameters. `rate` and `clip` are
/// what holds without them.
/// @throws ConfigError for a value that the setting cannot have, with the knob and the update
Turned turn(const std::vector<Knob>& knobs, std::int64_t t, double rate, std::optional<double> clip,
            Optimizer& optimizer);

/// The names that can be turned, with this optimizer.
std::vector<std::string> knob_names(const Optimizer& optimizer);

/// Whether some controller watches the metric.
bool any_watches(const std::vector<Knob>& knobs, std::string_view metric);
/// Tells all controllers. @throws ConfigError for one whose metric should be among what this event
/// tells, and is not, with what there is
void tell(std::vector<Knob>& knobs, const Observation& observation);

}  // namespace ebb::train
