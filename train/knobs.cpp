#include "train/knobs.h"

#include <algorithm>

#include "core/error.h"

namespace ebb::train {
namespace {

void require_value(const Knob& knob, std::int64_t t, const Hyperparameter& row, double value) {
  require<ConfigError>(row.accepts(value), "[set] ", knob.name, " = ", knob.schedule.text(), " is ",
                       value, " at update ", t, ", expected ", row.expected);
}

const TaskSetting* find(std::span<const TaskSetting> settings, std::string_view name) {
  const auto found = std::ranges::find_if(
      settings, [&](const TaskSetting& setting) { return setting.row.name == name; });
  return found == settings.end() ? nullptr : &*found;
}

bool is_of_update(std::string_view metric) { return !metric.starts_with("val_"); }

}  // namespace

double Knob::value(std::int64_t t) const { return bound(t, readings_of(controllers)); }

Turned turn(const std::vector<Knob>& knobs, std::int64_t t, double rate, std::optional<double> clip,
            Optimizer& optimizer, std::span<const TaskSetting> settings) {
  const std::vector<Turnable> rows = turnable(optimizer, settings);
  Turned now{.rate = rate, .clip = clip};
  for (const Knob& knob : knobs) {
    const double value = knob.value(t);
    const auto row = std::ranges::find(rows, knob.name, &Turnable::name);
    require<ConfigError>(row != rows.end(), "[set] there is no ", knob.name, " to set");
    require_value(knob, t, row->row, value);
    now.values.emplace_back(knob.name, value);
    if (knob.name == "lr") {
      now.rate = value;
      now.rate_set = true;
    } else if (knob.name == "clip") {
      now.clip = value;
    } else if (const TaskSetting* setting = find(settings, knob.name)) {
      setting->now.set(value);
    } else {
      number_of(optimizer.hyperparameters, row->row.name) = value;
    }
  }
  return now;
}

void turn(const std::vector<Knob>& knobs, std::int64_t t, std::span<const TaskSetting> settings) {
  for (const Knob& knob : knobs) {
    const TaskSetting* const setting = find(settings, knob.name);
    if (setting == nullptr) continue;
    const double value = knob.value(t);
    require_value(knob, t, setting->row, value);
    setting->now.set(value);
  }
}

std::vector<Turnable> turnable(const Optimizer& optimizer, std::span<const TaskSetting> settings) {
  std::vector<Turnable> all{{"lr", Hyperparameter::amount("lr", 0)},
                            {"clip", Hyperparameter::positive("clip", 0)}};
  for (const Hyperparameter& row : optimizer.rule->hyperparameters) {
    std::string name(row.name);
    std::ranges::replace(name, '_', '-');
    all.push_back({name == "epsilon" ? "eps" : name, row});
  }
  for (const TaskSetting& setting : settings)
    all.push_back({std::string(setting.row.name), setting.row});
  return all;
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
