#include "train/options/rules.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "core/error.h"

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
    if (rule->option.empty()) continue;
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
    if (rule->option.empty() || !options.has(rule->option)) continue;
    NamedNumbers given;
    for (const Hyperparameter& row : rule->hyperparameters)
      given.emplace_back(row.name, options.real(option_of(*rule, row)));
    controllers.emplace_back(*rule, given);
  }
  return controllers;
}

StateFormats parse_state_formats(std::string_view text, StateFormats others) {
  StateFormats formats = others;
  if (text.find('=') == std::string_view::npos) {
    const Format all = Format::parse(text);
    for (std::size_t role = 0; role < std::size(kStateRoles); ++role) {
      Format& one = formats.of(static_cast<StateRole>(role));
      if (!one.is_fp32()) one = all;
    }
    return formats;
  }
  std::vector<std::string_view> seen;
  for (const std::string& part : split_at(text, ',')) {
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = std::string_view(part).substr(0, equals);
    const auto role = std::ranges::find(kStateRoles, name);
    require<ConfigError>(
        role != std::end(kStateRoles) && equals < part.size(),
        "expected a role and its format as in weights=bf16, the role one of ",
        join_words(std::vector<std::string>(std::begin(kStateRoles), std::end(kStateRoles))),
        ", got '", part, "'");
    require<ConfigError>(std::ranges::find(seen, *role) == seen.end(), "'", name,
                         "' is there twice");
    seen.push_back(*role);
    formats.of(static_cast<StateRole>(role - std::begin(kStateRoles))) =
        Format::parse(std::string_view(part).substr(equals + 1));
  }
  return formats;
}

std::optional<LossScale> loss_scale_of(const Options& options) {
  if (!options.has("loss-scale")) return std::nullopt;
  // As many examples as 16,384 batches that are not accumulated.
  const std::int64_t window =
      options.optional_integer("loss-scale-window")
          .value_or(std::max<std::int64_t>(1, 16384 / options.integer("accumulate")));
  return LossScale::parse(options.text("loss-scale"), window, options.real("loss-scale-tolerance"));
}

Optimizer optimizer_of(const Options& options) {
  const OptimizerRule& rule = find_optimizer(options.text("optimizer"));
  NamedNumbers given;
  for (const Hyperparameter& row : rule.hyperparameters) {
    const std::string name = with_dashes(row.name);
    const OptionSpec* const option = options.find(name);
    if (option == nullptr || !options.has(name)) continue;
    const bool flag = option->kind == OptionSpec::Kind::flag;
    given.emplace_back(row.name, flag ? (options.flag(name) ? 1 : 0) : options.real(name));
  }
  if (!options.has("optimizer-formats")) return Optimizer(rule, given);
  return Optimizer(rule, given,
                   parse_state_formats(options.text("optimizer-formats"), rule.formats));
}

}  // namespace ebb::train
