#include "schedules/controller.h"

#include <bit>
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

}  // namespace

Controller::Controller(const ControllerRule& row, const NamedNumbers& given)
    : rule(&row),
      hyperparameters(complete_hyperparameters(row.name, row.hyperparameters, given)),
      state(initial_state(row)) {}

void Controller::observe(const Observation& observation) {
  rule->observe(hyperparameters, state, observation);
}

double Controller::value() const { return rule->value(hyperparameters, state); }

std::vector<std::uint64_t> Controller::save() const {
  std::vector<std::uint64_t> words;
  for (std::size_t i = 0; i < state.size(); ++i) {
    const double number = state[i].second;
    words.push_back(rule->state[i].count ? static_cast<std::uint64_t>(number)
                                         : std::bit_cast<std::uint64_t>(number));
  }
  return words;
}

void Controller::restore(std::span<const std::uint64_t> words) {
  require<DataError>(!words.empty() && words.size() <= rule->state.size(), "[", rule->name,
                     "] expected 1 to ", rule->state.size(), " numbers of its state, got ",
                     words.size());
  state = initial_state(*rule);
  for (std::size_t i = 0; i < words.size(); ++i) {
    state[i].second =
        rule->state[i].count ? static_cast<double>(words[i]) : std::bit_cast<double>(words[i]);
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

}  // namespace ebb
