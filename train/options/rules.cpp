#include "train/options/rules.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace ebb::train {
namespace {

std::string with_dashes(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

// The first hyperparameter is the option of the controller itself.
std::string option_of(const ControllerRule& rule, const Hyperparameter& row) {
  return &row == rule.hyperparameters.data() ? std::string(rule.option)
                                             : concat(rule.option, '-', with_dashes(row.name));
}

}  // namespace

std::vector<OptionSpec> controller_options() {
  std::vector<OptionSpec> options;
  for (const ControllerRule* const rule : controller_rules()) {
    for (const Hyperparameter& row : rule->hyperparameters) {
      const bool first = &row == rule->hyperparameters.data();
      OptionSpec option{
          .name = option_of(*rule, row),
          .value = first ? "F" : "X",
          .kind = OptionSpec::Kind::real,
          .fallback = first ? "" : to_text(row.default_value),
          .help = first ? std::string(rule->help) : concat(row.name, " of --", rule->option),
          .expected = std::string(row.expected),
          .accepts = row.accepts};
      option.use = OptionSpec::Use::training;
      if (!first) option.requires_option = rule->option;
      options.push_back(std::move(option));
    }
  }
  return options;
}

std::vector<Controller> controllers_of(const Options& options) {
  std::vector<Controller> controllers;
  for (const ControllerRule* const rule : controller_rules()) {
    if (!options.has(rule->option)) continue;
    NamedNumbers given;
    for (const Hyperparameter& row : rule->hyperparameters)
      given.emplace_back(row.name, options.real(option_of(*rule, row)));
    controllers.emplace_back(*rule, given);
  }
  return controllers;
}

Optimizer optimizer_of(const Options& options) {
  const OptimizerRule& rule = find_optimizer(options.text("optimizer"));
  NamedNumbers given;
  for (const Hyperparameter& row : rule.hyperparameters) {
    const std::string name = with_dashes(row.name);
    if (options.find(name) != nullptr && options.has(name))
      given.emplace_back(row.name, options.real(name));
  }
  return Optimizer(rule, given);
}

}  // namespace ebb::train
