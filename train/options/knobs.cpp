#include "train/options/knobs.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "train/options/groups.h"
#include "train/options/try_all.h"

namespace ebb::train {
namespace {

struct Spelling {
  const char *knob, *option;
};
constexpr Spelling kSpellings[] = {{"weight-bits", "weight-format"},
                                   {"activation-bits", "activation-format"},
                                   {"gradient-bits", "gradient-bits"},
                                   {"bits", "bits"},
                                   {"batch-multiplier", "batch-multiplier"},
                                   {"sequence-length", "sequence-length"},
                                   {"masking-rate", "masking-rate"},
                                   {"epsilon", "certify-epsilon"},
                                   {"kappa", "certify-kappa"}};

// A number of bits as what the option of a format takes for it.
std::string as_format(const std::string& option, const std::string& text) {
  std::int64_t bits = 0;
  return option.ends_with("-format") && parse_number(text, bits) ? concat("int", text) : text;
}

std::string unknown_knob(const std::vector<Turnable>& rows, const std::string& name) {
  std::vector<std::string> all;
  for (const Turnable& row : rows) all.push_back(row.name);
  for (const Spelling& spelling : kSpellings) all.emplace_back(spelling.knob);
  return unknown_word("knob", name, all);
}

Schedule parse_knob(const std::string& name, const std::string& text) {
  try {
    return Schedule::parse(text);
  } catch (const ConfigError& error) {
    throw ConfigError(concat("[command line] --set ", name, ": ", error.what()));
  }
}

// @throws ConfigError where nothing will ever be told that a controller watches
void check_metrics(const Knob& knob, bool evaluates) {
  for (const Controller& controller : knob.controllers) {
    const std::string_view metric = controller.metric();
    const bool of_evaluation = metric.starts_with("val_");
    require<ConfigError>(!of_evaluation || evaluates, "[set] ", knob.name, ": ",
                         controller.rule->name, " watches '", metric,
                         "', but nothing is scored during this training");
    require<ConfigError>(of_evaluation || metric.empty() || metric.starts_with("train_") ||
                             metric == "gnorm1" || metric == "gnorm2",
                         "[set] ", knob.name, ": nobody reports the metric '", metric,
                         "'; expected train_loss, train_accuracy, gnorm1, gnorm2 or val_NAME");
  }
}

// The option that says the same as a knob does.
std::string option_of(const std::string& knob) {
  return knob == "lr" ? "lr-schedule" : knob == "eps" ? "epsilon" : knob;
}

// What a curve without controllers will be is known before anything is trained.
void check_values(const Knob& knob, const Hyperparameter& row) {
  if (!knob.controllers.empty()) return;
  const auto fine = [&](const ValueRange& range) {
    return range.is_number() && row.accepts(range.low) && row.accepts(range.high);
  };
  try_all(concat("set ", knob.name), knob.bound, fine, [&](std::int64_t t) {
    const double value = knob.bound(t);
    require<ConfigError>(row.accepts(value), "expected ", row.expected, ", got ", value);
  });
}

Knob bound_knob(const std::string& name, const Schedule& schedule, const Totals& totals) {
  require<ConfigError>(schedule.group_names().empty(), "[command line] --set ", name,
                       ": a setting of the whole run has no parts for group{...}; "
                       "--lr-schedule, without controllers, sets parameters apart");
  try {
    return Knob(name, schedule, schedule.bind(totals));
  } catch (const ConfigError& error) {
    throw ConfigError(concat("[command line] --set ", name, ": ", error.what()));
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> knob_texts(const std::string& set) {
  std::vector<std::pair<std::string, std::string>> knobs;
  if (set.empty()) return knobs;
  for (const std::string& line : split_at(set, '\n')) {
    const std::size_t equals = line.find('=');
    require<ConfigError>(equals != std::string::npos && equals > 0 && equals + 1 < line.size(),
                         "expected KNOB=EXPR, such as weight-decay='0->1e-4:lin', got '", line,
                         "'");
    std::pair<std::string, std::string> knob{line.substr(0, equals), line.substr(equals + 1)};
    for (const auto& [name, text] : knobs)
      require<ConfigError>(name != knob.first, "'", name, "' is set twice");
    knobs.push_back(std::move(knob));
  }
  return knobs;
}

void spell_out_knobs(Options& options) {
  if (!options.has("set")) return;
  std::string rest;
  for (const auto& [name, text] : knob_texts(options.text("set"))) {
    const auto* const spelling = std::ranges::find(kSpellings, name, &Spelling::knob);
    if (spelling == std::end(kSpellings) || options.find(spelling->option) == nullptr) {
      rest += concat(rest.empty() ? "" : "\n", name, '=', text);
      continue;
    }
    require<ConfigError>(!options.gave(spelling->option), "[command line] --set ", name, " and --",
                         spelling->option, " are the same; give one of them");
    options.set(spelling->option, as_format(spelling->option, text));
    options.given.emplace_back(spelling->option);
  }
  options.set("set", rest);
  if (rest.empty()) std::erase(options.given, "set");
}

std::vector<Knob> knobs_of(const Options& options, const Totals& totals, const Optimizer& optimizer,
                           bool evaluates, std::span<const TaskSetting> settings) {
  const std::vector<Turnable> rows = turnable(optimizer, settings);
  std::vector<Knob> knobs;
  for (const auto& [name, text] : knob_texts(options.text("set"))) {
    const auto row = std::ranges::find(rows, name, &Turnable::name);
    require<ConfigError>(row != rows.end(), "[command line] --set: ", unknown_knob(rows, name),
                         " with --optimizer ", optimizer.rule->name);
    const std::string option = option_of(name);
    require<ConfigError>(
        !options.gave(option) && !(name == "lr" && options.gave("lr")), "[command line] --set ",
        name, " says all that --", name == "lr" ? name : option,
        name == "lr" ? " and --lr-schedule would; leave these out" : " would; leave it out");
    knobs.push_back(bound_knob(name, parse_knob(name, text), totals));
    check_values(knobs.back(), row->row);
  }
  if (options.has("lr-schedule")) {
    const Schedule factor = Schedule::parse(options.text("lr-schedule"));
    if (factor.is_closed_loop())
      knobs.push_back(bound_knob(
          "lr", schedules::product({schedules::number(options.real("lr")), factor}), totals));
  }
  for (Knob& knob : knobs) {
    check_metrics(knob, evaluates);
    if (options.gave("set")) knob.policy = LoadPolicy::rebind;
  }
  set_phases(options, knobs, 0);
  return knobs;
}

void set_phases(const Options& options, std::vector<Knob>& knobs, std::int64_t updates) {
  if (!options.has("phase")) return;
  const std::int64_t phase = options.integer("phase");
  bool any = false;
  for (Knob& knob : knobs) {
    for (Controller& each : knob.controllers) {
      if (!each.rule->list) continue;
      any = true;
      if (number_of(each.state, "phase") != static_cast<double>(phase))
        set_phase(each, phase, updates);
    }
  }
  require<ConfigError>(any, "[command line] --phase has no effect without phases(...) in --set");
}

}  // namespace ebb::train
