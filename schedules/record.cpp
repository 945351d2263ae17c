#include "schedules/controller.h"

namespace ebb {
namespace {

constexpr ControllerState kState[] = {{"ignored", 0, true}};
constexpr ControllerWord kWords[] = {{"metric", "gnorm2"}};

}  // namespace

/// 1 throughout; its series is the metric of every update, such as the norms of the gradients that
/// `refine` makes the next run's schedule of.
extern constinit const ControllerRule kRecord{
    .name = "record",
    .state = kState,
    .observe =
        [](Controller& it, const Observation& observation) {
          if (const std::optional<double> seen = it.seen(observation)) it.series.push_back(*seen);
        },
    .value = [](const Controller&) { return 1.0; },
    .words = kWords,
    .series = true};

}  // namespace ebb
