#include <algorithm>
#include <limits>

#include "schedules/controller.h"

namespace ebb {
namespace {

constexpr Hyperparameter kHyperparameters[] = {
    Hyperparameter::positive("target", 0.1),
    Hyperparameter::positive("cap", 1e-4),
    Hyperparameter::positive("least", 1e-9),
    {"grow", 1.5, "1 and more, and finite", [](double x) { return x >= 1 && x - x == 0; }},
    {"shrink", 2, "1 and more, and finite", [](double x) { return x >= 1 && x - x == 0; }},
    Hyperparameter::amount("low", 0.05)};

constexpr ControllerState kState[] = {{"epsilon", 0},
                                      {"step", 0},
                                      {"loss", std::numeric_limits<double>::infinity()},
                                      {"ignored", 0, true}};
constexpr ControllerWord kWords[] = {{"metric", "train_loss"}};
constexpr double kJump = 1.5;  // a loss that many times the one before takes the step back

void observe(Controller& it, const Observation& observation) {
  const std::optional<double> seen = it.seen(observation);
  if (!seen) return;
  const auto given = [&](std::string_view name) { return number_of(it.hyperparameters, name); };
  double &epsilon = number_of(it.state, "epsilon"), &step = number_of(it.state, "step"),
         &before = number_of(it.state, "loss");
  if (step == 0) step = given("least");
  if (*seen < given("low") || *seen < before)
    step = std::min(step * given("grow"), given("cap"));
  else if (*seen > kJump * before)
    step = std::max(step / given("shrink"), given("least"));
  before = *seen;
  epsilon = std::min(epsilon + step, given("target"));
}

}  // namespace

/// Rises from 0 to `target` by a step an update, which grows (up to `cap`) while the loss falls or
/// is below `low`, and shrinks (down to `least`) when the loss jumps to 1.5 times the one before.
/// Source: the adaptive epsilon of auto_LiRPA, used with arXiv 2103.17268.
extern constinit const ControllerRule kAdaptEps{
    .name = "adapteps",
    .hyperparameters = kHyperparameters,
    .state = kState,
    .observe = observe,
    .value = [](const Controller& it) { return number_of(it.state, "epsilon"); },
    .words = kWords,
    .required = 1};

}  // namespace ebb
