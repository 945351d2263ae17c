#include <cmath>
#include <limits>

#include "schedules/controller.h"

namespace ebb {
namespace {

constexpr Hyperparameter kHyperparameters[] = {
    {"factor", 0.25, "a factor above 0 and below 1", [](double x) { return x > 0 && x < 1; }},
    Hyperparameter::whole("patience", 0),
    Hyperparameter::whole("cooldown", 0),
    Hyperparameter::share("threshold", 0)};

constexpr double kNone = std::numeric_limits<double>::infinity();
constexpr ControllerState kState[] = {{"best", kNone},
                                      {"multiplier", 1},
                                      {"ignored", 0, true},
                                      {"bad", 0, true},
                                      {"cooling", 0, true}};

constexpr std::string_view kModes[] = {"min", "max"};
constexpr ControllerWord kWords[] = {{"mode", "min", kModes}, {"metric", "val_loss"}};

void observe(Controller& it, const Observation& observation) {
  const std::optional<double> seen = it.seen(observation);
  if (!seen) return;
  // What is to rise falls with its sign turned.
  const double now = it.words[0] == "max" ? -*seen : *seen;
  double &best = number_of(it.state, "best"), &bad = number_of(it.state, "bad"),
         &cooling = number_of(it.state, "cooling");
  if (best == kNone ? now < best
                    : now < best - number_of(it.hyperparameters, "threshold") * std::fabs(best)) {
    best = now;
    bad = 0;
  } else {
    bad += 1;
  }
  if (cooling > 0) {
    cooling -= 1;
    bad = 0;
  }
  if (bad > number_of(it.hyperparameters, "patience")) {
    number_of(it.state, "multiplier") *= number_of(it.hyperparameters, "factor");
    cooling = number_of(it.hyperparameters, "cooldown");
    bad = 0;
  }
}

}  // namespace

/// After more than `patience` observations in a row that are no better than the best by a share of
/// `threshold`, the value is multiplied by `factor` for good. For the next `cooldown` observations
/// none counts as bad.
extern constinit const ControllerRule kPlateau{
    .name = "plateau",
    .option = "lr-plateau",
    .help = "multiply the learning rate by this after an evaluation whose loss is no new minimum",
    .hyperparameters = kHyperparameters,
    .state = kState,
    .observe = observe,
    .value = [](const Controller& it) { return number_of(it.state, "multiplier"); },
    .words = kWords,
    .required = 2};

}  // namespace ebb
