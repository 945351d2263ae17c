#include "tools/report/comparison.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "quant/ledger.h"
#include "train/app/report.h"

namespace ebb::report {
namespace {

using Shape = Look::Shape;

bool has(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

/// The name of its schedule; "" of an expression.
std::string schedule_of(const Run& run) {
  return run.option("bits").empty() ? run.option("schedule") : "";
}

struct ScheduleLook {
  const char* name;
  std::size_t colour;
  Shape shape;
};
constexpr ScheduleLook kSchedules[] = {
    {"CR", 0, Shape::circle},    {"CT", 0, Shape::triangle},   {"LR", 1, Shape::circle},
    {"LT", 1, Shape::triangle},  {"ER", 2, Shape::circle},     {"ETV", 2, Shape::triangle},
    {"ETH", 2, Shape::triangle}, {"RR", 3, Shape::circle},     {"RTV", 3, Shape::triangle},
    {"RTH", 3, Shape::triangle}, {"static", 4, Shape::square}, {"fp32", 5, Shape::diamond}};
constexpr std::size_t kOtherColours = 6, kColours = 10;

std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 40;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

/// Options that say nothing of a run whose products are all float32.
bool matters(const Run& run, std::string_view option) {
  return schedule_of(run) != "fp32" || (option != "max-bits" && option != "min-bits");
}

void name_it(Configuration& configuration, const Run& run,
             const std::vector<std::string>& options) {
  const std::string schedule = schedule_of(run);
  configuration.brief = schedule.empty() ? shortened(run.option("bits")) : schedule;
  std::vector<std::string> parts;
  if (has(options, "schedule") || has(options, "bits") || options.empty())
    parts.push_back(configuration.brief);
  for (const std::string& option : options) {
    const std::string text = shortened(run.option(option));
    if (option == "schedule" || option == "bits" || text.empty() || !matters(run, option)) continue;
    parts.push_back(option == "program" || option == "arch" ? text : concat(option, ' ', text));
  }
  configuration.name = join_words(parts);
  const bool schedule_tells = has(options, "schedule") || has(options, "bits");
  if (!schedule_tells) configuration.brief = configuration.name;
}

std::vector<Configuration> folded(const Comparison& comparison) {
  std::vector<Configuration> all;
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < comparison.collection.runs.size(); ++i) {
    const Run& run = comparison.run(i);
    std::string key = run.record.config.program;
    for (const auto& [name, text] : run.record.config.options) {
      if (name != "seed") key += concat('\n', name, '=', text);
    }
    const auto [place, fresh] = places.emplace(key, all.size());
    if (fresh) {
      Configuration& made = all.emplace_back();
      for (const std::string& option : comparison.options)
        made.options.push_back(matters(run, option) ? run.option(option) : "");
      name_it(made, run, comparison.options);
    }
    all[place->second].runs.push_back(i);
  }
  return all;
}

double seed_of(const Run& run) {
  double seed = 0;
  return parse_number(run.option("seed"), seed) ? seed : 0;
}

std::optional<double> mean_of(const std::vector<double>& values) {
  return values.empty() ? std::nullopt : std::optional(mean(values));
}

void add_statistics(Configuration& configuration, const Comparison& comparison) {
  std::ranges::stable_sort(configuration.runs, {},
                           [&](std::size_t i) { return seed_of(comparison.run(i)); });
  std::vector<double> scores, losses, costs, seconds;
  for (const std::size_t i : configuration.runs) {
    const Run& run = comparison.run(i);
    const train::EvalRow* const score = score_of(run);
    if (score != nullptr) {
      configuration.split = score->split;
      configuration.metric = score->metric;
      configuration.lower_is_better = score->lower_is_better;
    }
    if (!run.finished()) continue;
    configuration.finished.push_back(i);
    seconds.push_back(run.seconds());
    if (score != nullptr) scores.push_back(score->score);
    if (run.record.saved_at) costs.push_back(run.record.cost.exact);
    std::int64_t epoch = 1;
    if (!parse_number(run.resolved("steps_per_epoch"), epoch)) epoch = 1;
    if (const auto loss = train::training_loss(run.record.history, epoch)) losses.push_back(*loss);
  }
  configuration.score = mean_of(scores);
  configuration.score_deviation = sample_deviation(scores);
  configuration.loss = mean_of(losses);
  configuration.cost = mean_of(costs);
  configuration.seconds = mean_of(seconds).value_or(0);
}

void add_looks(std::vector<Configuration>& all, const Comparison& comparison) {
  std::vector<double> widths;
  std::map<std::string, std::size_t> others;
  const auto width_of = [&](const Configuration& configuration) {
    double width = 0;
    return parse_number(comparison.run(configuration.runs[0]).option("max-bits"), width) ? width
                                                                                         : 0;
  };
  for (const Configuration& each : all) {
    const double width = width_of(each);
    if (matters(comparison.run(each.runs[0]), "max-bits") &&
        std::ranges::find(widths, width) == widths.end())
      widths.push_back(width);
  }
  std::ranges::sort(widths, std::greater());
  for (Configuration& each : all) {
    const std::string schedule = schedule_of(comparison.run(each.runs[0]));
    const auto* const known =
        std::ranges::find_if(kSchedules, [&](const auto& row) { return schedule == row.name; });
    if (known != std::end(kSchedules)) {
      each.look = {.colour = known->colour, .shape = known->shape};
    } else {
      const std::size_t place = others.emplace(each.brief, others.size()).first->second;
      each.look = {.colour = kOtherColours + place % (kColours - kOtherColours)};
    }
    const auto width = std::ranges::find(widths, width_of(each));
    if (width != widths.end() && matters(comparison.run(each.runs[0]), "max-bits"))
      each.look.outline = static_cast<std::size_t>(width - widths.begin());
  }
}

bool has_options(const Configuration& configuration, const Comparison& comparison,
                 const KeyValues& wanted) {
  const Run& run = comparison.run(configuration.runs[0]);
  return std::ranges::all_of(
      wanted, [&](const auto& entry) { return run.option(entry.first) == entry.second; });
}

/// Of several that have the baseline's options, the one that agrees in all others.
std::optional<std::size_t> baseline_of(const Configuration& configuration,
                                       const Comparison& comparison) {
  std::optional<std::size_t> only;
  std::size_t candidates = 0;
  const Run& run = comparison.run(configuration.runs[0]);
  for (std::size_t i = 0; i < comparison.configurations.size(); ++i) {
    const Configuration& other = comparison.configurations[i];
    if (!has_options(other, comparison, *comparison.baseline) ||
        measure_of(other) != measure_of(configuration))
      continue;
    ++candidates;
    only = i;
    const Run& theirs = comparison.run(other.runs[0]);
    const bool agrees = std::ranges::all_of(comparison.options, [&](const std::string& option) {
      return run.option(option) == theirs.option(option) ||
             std::ranges::find(*comparison.baseline, option, &KeyValues::value_type::first) !=
                 comparison.baseline->end();
    });
    if (agrees) return i;
  }
  return candidates == 1 ? only : std::nullopt;
}

void add_differences(Comparison& comparison) {
  if (!comparison.baseline) return;
  for (std::size_t i = 0; i < comparison.configurations.size(); ++i) {
    Configuration& each = comparison.configurations[i];
    each.baseline = baseline_of(each, comparison);
    if (!each.baseline || *each.baseline == i) continue;
    each.difference =
        difference_between(comparison, each, comparison.configurations[*each.baseline]);
  }
}

void add_fronts(Comparison& comparison) {
  for (const std::string& measure : comparison.measures()) {
    std::vector<CostAndScore> points;
    std::vector<Configuration*> owners;
    for (Configuration& each : comparison.configurations) {
      if (!each.comparable() || measure_of(each) != measure) continue;
      points.push_back({*each.cost, *each.score});
      owners.push_back(&each);
    }
    if (owners.empty()) continue;
    for (const std::size_t i : pareto_front(points, owners[0]->lower_is_better))
      owners[i]->on_front = true;
  }
}

}  // namespace

Unit unit_of(const std::string& metric) {
  if (metric == "accuracy" || metric.ends_with("_error"))
    return {.factor = 100, .decimals = 2, .suffix = "\u00a0%", .difference_suffix = "\u00a0points"};
  if (metric == "perplexity") return {.decimals = 2};
  return {};
}

std::vector<std::string> Comparison::measures() const {
  std::vector<std::string> measures;
  for (const Configuration& each : configurations) {
    if (!each.metric.empty() && !has(measures, measure_of(each)))
      measures.push_back(measure_of(each));
  }
  return measures;
}

std::string measure_of(const Configuration& configuration) {
  return concat(configuration.split, ' ', configuration.metric);
}

std::optional<PairedDifference> difference_between(const Comparison& comparison,
                                                   const Configuration& each,
                                                   const Configuration& baseline) {
  std::vector<double> values, theirs;
  for (const std::size_t run : each.finished) {
    for (const std::size_t other : baseline.finished) {
      const train::EvalRow* const score = score_of(comparison.run(run));
      const train::EvalRow* const base = score_of(comparison.run(other));
      if (score == nullptr || base == nullptr ||
          comparison.run(run).option("seed") != comparison.run(other).option("seed"))
        continue;
      values.push_back(score->score);
      theirs.push_back(base->score);
    }
  }
  return values.empty() ? std::nullopt : std::optional(paired_difference(values, theirs));
}

const train::EvalRow* score_of(const Run& run) {
  const train::EvalRow* const test = run.last("test");
  return test != nullptr ? test : run.last("validation");
}

Comparison compare(Collection collection, const std::string& title,
                   const std::optional<KeyValues>& baseline) {
  Comparison result{.collection = std::move(collection)};
  result.title = !title.empty()                     ? title
                 : !result.collection.title.empty() ? result.collection.title
                                                    : "Runs compared";
  result.options = differing_options(result.collection.runs);
  std::vector<Configuration> all = folded(result);
  for (Configuration& each : all) add_statistics(each, result);
  std::ranges::stable_sort(all, {}, [](const Configuration& each) {
    return each.cost.value_or(std::numeric_limits<double>::infinity());
  });
  for (std::size_t i = 0; i < all.size(); ++i) all[i].id = concat('c', i);
  add_looks(all, result);
  result.configurations = std::move(all);
  for (const Run& run : result.collection.runs) {
    if (run.record.saved_at && result.cost_reference.empty())
      result.cost_reference = to_text(run.record.cost.basis);
  }
  result.baseline = baseline ? baseline : result.collection.baseline;
  if (!result.baseline && has(result.options, "schedule"))
    result.baseline = KeyValues{{"schedule", "static"}};
  const bool found = result.baseline && std::ranges::any_of(result.configurations, [&](auto& each) {
                       return has_options(each, result, *result.baseline);
                     });
  if (!found) result.baseline.reset();
  add_differences(result);
  add_fronts(result);
  return result;
}

}  // namespace ebb::report
