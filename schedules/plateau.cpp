#include <limits>

#include "schedules/controller.h"

namespace ebb {
namespace {

constexpr Hyperparameter kHyperparameters[] = {
    {"factor", 0.25, "a factor above 0 and below 1", [](double x) { return x > 0 && x < 1; }}};

constexpr ControllerState kState[] = {
    {"lowest", std::numeric_limits<double>::infinity()}, {"multiplier", 1}, {"ignored", 0, true}};

void observe(const NamedNumbers& hyperparameters, NamedNumbers& state,
             const Observation& observation) {
  if (observation.event != Observation::Event::evaluation) return;
  const double loss = number_of(observation.numbers, "loss");
  if (loss != loss) {
    number_of(state, "ignored") += 1;
  } else if (loss < number_of(state, "lowest")) {
    number_of(state, "lowest") = loss;
  } else {
    number_of(state, "multiplier") *= number_of(hyperparameters, "factor");
  }
}

}  // namespace

/// Whenever an evaluation brings no new low of the loss, the rate is multiplied by `factor` for
/// good. A loss that is NaN is counted and changes nothing else.
extern constinit const ControllerRule kPlateau{
    .name = "plateau",
    .option = "lr-plateau",
    .help = "multiply the learning rate by this after an evaluation whose loss is no new minimum",
    .hyperparameters = kHyperparameters,
    .state = kState,
    .observe = observe,
    .value = [](const NamedNumbers&, const NamedNumbers& state) {
      return number_of(state, "multiplier");
    }};

}  // namespace ebb
