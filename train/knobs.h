#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/hyperparameters.h"
#include "core/setting.h"
#include "optim/optimizer.h"
#include "schedules/autolrs.h"
#include "schedules/schedule.h"
#include "schedules/state.h"

namespace ebb::train {

/// A number of a task that a knob of its name can turn; the row says which values it can have.
struct TaskSetting {
  Hyperparameter row;
  Setting now;
};

/// A setting of the loop that follows a schedule, closed loops included.
struct Knob {
  std::string name;  ///< lr, clip, a hyperparameter of the optimizer such as weight-decay, or a
                     ///< setting of the task such as dropout
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
/// Reads the knobs for update t, and sets the optimizer's hyperparameters and the task's settings.
/// `rate` and `clip` are what holds without them.
/// @throws ConfigError for a value that the setting cannot have, with the knob and the update
Turned turn(const std::vector<Knob>& knobs, std::int64_t t, double rate, std::optional<double> clip,
            Optimizer& optimizer, std::span<const TaskSetting> settings = {});
/// Sets the task's settings alone, as evaluations after update t need them.
/// @throws ConfigError as turn
void turn(const std::vector<Knob>& knobs, std::int64_t t, std::span<const TaskSetting> settings);

/// What can be turned, with this optimizer and these settings of a task, and which values each can
/// have. Rows of the optimizer have its own spelling of a name.
struct Turnable {
  std::string name;
  Hyperparameter row;
};
std::vector<Turnable> turnable(const Optimizer& optimizer, std::span<const TaskSetting> settings);

/// Whether some controller watches the metric.
bool any_watches(const std::vector<Knob>& knobs, std::string_view metric);
/// Tells all controllers. @throws ConfigError for one whose metric should be among what this event
/// tells, and is not, with what there is
void tell(std::vector<Knob>& knobs, const Observation& observation);

}  // namespace ebb::train
