#include "train/knobs.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace ebb::train {
namespace {

// "weight-decay" is the optimizer's weight_decay.
std::string with_underscores(std::string name) {
  std::ranges::replace(name, '-', '_');
  return name == "eps" ? "epsilon" : name;
}

void require_value(const Knob& knob, std::int64_t t, bool accepted, std::string_view expected,
                   double value) {
  require<ConfigError>(accepted, "[set] ", knob.name, " = ", knob.schedule.text(), " is ", value,
                       " at update ", t, ", expected ", expected);
}

bool is_of_update(std::string_view metric) { return !metric.starts_with("val_"); }

}  // namespace

double Knob::value(std::int64_t t) const { return bound(t, readings_of(controllers)); }

Turned turn(const std::vector<Knob>& knobs, std::int64_t t, double rate, std::optional<double> clip,
            Optimizer& optimizer) {
  Turned now{.rate = rate, .clip = clip};
  for (const Knob& knob : knobs) {
    const double value = knob.value(t);
    now.values.emplace_back(knob.name, value);
    if (knob.name == "lr") {
      require_value(knob, t, value >= 0 && std::isfinite(value), "a finite rate of 0 and more",
                    value);
      now.rate = value;
      now.rate_set = true;
    } else if (knob.name == "clip") {
      require_value(knob, t, value > 0 && std::isfinite(value), "a finite norm above 0", value);
      now.clip = value;
    } else {
      const std::string name = with_underscores(knob.name);
      for (const Hyperparameter& row : optimizer.rule->hyperparameters) {
        if (row.name == name) require_value(knob, t, row.accepts(value), row.expected, value);
      }
      number_of(optimizer.hyperparameters, name) = value;
    }
  }
  return now;
}

std::vector<std::string> knob_names(const Optimizer& optimizer) {
  std::vector<std::string> names{"lr", "clip"};
  for (const Hyperparameter& row : optimizer.rule->hyperparameters) {
    std::string name(row.name);
    std::ranges::replace(name, '_', '-');
    names.push_back(name == "epsilon" ? "eps" : name);
  }
  return names;
}

bool any_watches(const std::vector<Knob>& knobs, std::string_view metric) {
  return std::ranges::any_of(knobs, [&](const Knob& knob) {
    return std::ranges::any_of(knob.controllers,
                               [&](const Controller& each) { return each.metric() == metric; });
  });
}

void tell(std::vector<Knob>& knobs, const Observation& observation) {
  for (Knob& knob : knobs) {
    for (Controller& controller : knob.controllers) {
      const std::string_view metric = controller.metric();
      const bool expected = !metric.empty() && is_of_update(metric) == (observation.event ==
                                                                        Observation::Event::update);
      if (expected && !metric_of(observation, metric)) {
        std::vector<std::string> known;
        for (const auto& [name, number] : observation.numbers)
          known.push_back(name.starts_with("gnorm")
                              ? name
                              : concat(is_of_update(metric) ? "train_" : "val_", name));
        throw ConfigError(concat("[set] ", knob.name, ": ", controller.rule->name, " watches '",
                                 metric,
                                 "', which this run does not report; known: ", join_words(known)));
      }
      controller.observe(observation);
    }
  }
}

}  // namespace ebb::train
