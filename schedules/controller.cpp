#include "schedules/controller.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"

namespace ebb {
namespace {

NamedNumbers initial_state(const ControllerRule& rule) {
  NamedNumbers state;
  for (const ControllerState& row : rule.state) state.emplace_back(row.name, row.initial);
  return state;
}

bool is_metric(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  });
}

std::vector<std::string> complete_words(const ControllerRule& rule,
                                        std::vector<std::string> words) {
  require<ConfigError>(words.size() <= rule.words.size(), "[", rule.name, "] expected at most ",
                       rule.words.size(), " words, got ", words.size());
  for (std::size_t i = 0; i < rule.words.size(); ++i) {
    const ControllerWord& row = rule.words[i];
    if (i == words.size()) words.emplace_back(row.default_value);
    const std::vector<std::string> choices(row.choices.begin(), row.choices.end());
    if (choices.empty()) {
      require<ConfigError>(is_metric(words[i]), "[", rule.name, "] ", row.name,
                           ": expected the name of a metric, such as val_loss, got '", words[i],
                           "'");
    } else {
      require<ConfigError>(std::ranges::find(choices, words[i]) != choices.end(), "[", rule.name,
                           "] ", unknown_word(row.name, words[i], choices));
    }
  }
  return words;
}

}  // namespace

std::optional<double> metric_of(const Observation& observation, std::string_view metric) {
  using Event = Observation::Event;
  Event event = Event::update;
  std::string_view name = metric;
  if (metric.starts_with("train_")) name.remove_prefix(6);
  if (metric.starts_with("val_")) {
    event = Event::evaluation;
    name.remove_prefix(4);
  }
  if (observation.event != event) return std::nullopt;
  for (const auto& [known, number] : observation.numbers) {
    if (known == name) return number;
  }
  return std::nullopt;
}

Controller::Controller(const ControllerRule& row, const NamedNumbers& given,
                       std::vector<std::string> given_words, std::vector<double> given_values)
    : rule(&row),
      hyperparameters(complete_hyperparameters(row.name, row.hyperparameters, given)),
      state(initial_state(row)),
      words(complete_words(row, std::move(given_words))),
      values(std::move(given_values)) {
  require<ConfigError>(row.list || values.empty(), "[", row.name, "] takes no list of values");
  require<ConfigError>(std::ranges::all_of(values, [](double x) { return std::isfinite(x); }), "[",
                       row.name, "] expected finite values");
}

void Controller::observe(const Observation& observation) { rule->observe(*this, observation); }

double Controller::value() const { return rule->value(*this); }

std::string_view Controller::metric() const {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (rule->words[i].choices.empty()) return words[i];
  }
  return {};
}

std::optional<double> Controller::seen(const Observation& observation) {
  const std::optional<double> number = metric_of(observation, metric());
  if (!number || *number == *number) return number;
  number_of(state, "ignored") += 1;
  return std::nullopt;
}

std::vector<std::uint64_t> Controller::save() const {
  std::vector<std::uint64_t> saved;
  for (std::size_t i = 0; i < state.size(); ++i) {
    const double number = state[i].second;
    saved.push_back(rule->state[i].count ? static_cast<std::uint64_t>(number)
                                         : std::bit_cast<std::uint64_t>(number));
  }
  for (const double number : series) saved.push_back(std::bit_cast<std::uint64_t>(number));
  return saved;
}

void Controller::restore(std::span<const std::uint64_t> saved) {
  const std::size_t numbers = rule->state.size();
  require<DataError>(
      rule->series ? saved.size() >= numbers : !saved.empty() && saved.size() <= numbers, "[",
      rule->name, "] expected ", rule->series ? "" : "1 to ", numbers,
      rule->series ? " or more" : "", " numbers of its state, got ", saved.size());
  state = initial_state(*rule);
  series.clear();
  for (std::size_t i = 0; i < saved.size(); ++i) {
    const double number = i < numbers && rule->state[i].count ? static_cast<double>(saved[i])
                                                              : std::bit_cast<double>(saved[i]);
    if (i < numbers)
      state[i].second = number;
    else
      series.push_back(number);
  }
}

const ControllerRule& find_controller(std::string_view name) {
  std::vector<std::string> names;
  for (const ControllerRule* const rule : controller_rules()) {
    if (rule->name == name) return *rule;
    names.emplace_back(rule->name);
  }
  throw ConfigError(concat("[controller] ", unknown_word("controller", name, names)));
}

Controller make_controller(std::string_view name, const NamedNumbers& hyperparameters) {
  return Controller(find_controller(name), hyperparameters);
}

std::vector<double> readings_of(std::span<const Controller> controllers) {
  std::vector<double> readings;
  for (const Controller& controller : controllers) readings.push_back(controller.value());
  return readings;
}

}  // namespace ebb
