#include "core/error.h"
#include "schedules/controller.h"

namespace ebb {
namespace {

constexpr ControllerState kState[] = {{"phase", 0, true}};

double phase_value(const Controller& it) {
  const auto phase = static_cast<std::size_t>(number_of(it.state, "phase"));
  require<DataError>(phase < it.values.size(), "[phases] there is no phase ", phase, " of ",
                     it.values.size());
  return it.values[phase];
}

}  // namespace

/// The value of the phase that somebody decided on with set_phase; the first one until then. The
/// series says which phase began after how many updates: pairs of both.
extern constinit const ControllerRule kPhases{.name = "phases",
                                              .state = kState,
                                              .observe = [](Controller&, const Observation&) {},
                                              .value = phase_value,
                                              .list = true,
                                              .series = true};

void set_phase(Controller& controller, std::int64_t phase, std::int64_t updates) {
  require<ConfigError>(controller.rule->list, "[phases] the controller ", controller.rule->name,
                       " has no phases");
  require<ConfigError>(phase >= 0 && phase < std::ssize(controller.values),
                       "[phases] expected a phase from 0 to ", std::ssize(controller.values) - 1,
                       ", got ", phase);
  number_of(controller.state, "phase") = static_cast<double>(phase);
  controller.series.insert(controller.series.end(),
                           {static_cast<double>(updates), static_cast<double>(phase)});
}

}  // namespace ebb
