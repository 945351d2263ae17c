#include "tools/report/claims.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"

namespace ebb::report {
namespace {

// 1e-3 is 0.001.
bool same_value(const std::string& a, const std::string& b) {
  double x = 0, y = 0;
  return a == b || (parse_number(a, x) && parse_number(b, y) && x == y);
}

bool has_options(const Comparison& comparison, const Configuration& configuration,
                 const KeyValues& wanted) {
  const Run& run = comparison.run(configuration.runs[0]);
  return std::ranges::all_of(
      wanted, [&](const auto& entry) { return same_value(run.option(entry.first), entry.second); });
}

/// The mean over finished runs of the last score of a split; none if a run has none.
std::optional<double> mean_score(const Comparison& comparison, const Configuration& configuration,
                                 std::string_view split) {
  std::vector<double> scores;
  for (const std::size_t i : configuration.finished) {
    const train::EvalRow* const row = comparison.run(i).last(split);
    if (row == nullptr || !std::isfinite(row->score)) return std::nullopt;
    scores.push_back(row->score);
  }
  if (scores.empty()) return std::nullopt;
  return mean(scores);
}

std::optional<std::size_t> best_of(const Comparison& comparison, const KeyValues& wanted) {
  std::vector<std::size_t> having;
  for (std::size_t i = 0; i < comparison.configurations.size(); ++i) {
    if (has_options(comparison, comparison.configurations[i], wanted)) having.push_back(i);
  }
  if (having.size() < 2) return having.empty() ? std::nullopt : std::optional(having[0]);
  for (const char* split : {"validation", "test"}) {
    std::optional<std::size_t> best;
    double highest = 0;
    bool all = true;
    for (const std::size_t i : having) {
      const Configuration& each = comparison.configurations[i];
      if (each.finished.empty()) continue;
      const std::optional<double> score = mean_score(comparison, each, split);
      all = all && score.has_value();
      const double goodness = score.value_or(0) * (each.lower_is_better ? -1 : 1);
      if (best && goodness <= highest) continue;
      best = i;
      highest = goodness;
    }
    if (all && best) return best;
  }
  return having[0];
}

std::string word_of(const std::optional<PairedDifference>& effect) {
  if (!effect || !effect->interval) return "not tested";
  if (!effect->separates()) return "not separable";
  return effect->interval->low > 0 ? "supported" : "contradicted";
}

}  // namespace

std::vector<Verdict> judge(const Comparison& comparison, std::span<const Claim> claims) {
  std::vector<Verdict> verdicts;
  for (const Claim& claim : claims) {
    Verdict verdict{.says = claim.says,
                    .better = best_of(comparison, claim.better),
                    .than = best_of(comparison, claim.than),
                    .word = {}};
    verdict.word = word_of({});
    if (!verdict.better || !verdict.than) {
      verdicts.push_back(std::move(verdict));
      continue;
    }
    const Configuration &better = comparison.configurations[*verdict.better],
                        &than = comparison.configurations[*verdict.than];
    verdict.effect = difference_between(comparison, better, than);
    if (verdict.effect && better.lower_is_better) {
      PairedDifference& effect = *verdict.effect;
      effect.mean = -effect.mean;
      if (effect.interval)
        effect.interval = Interval{-effect.interval->high, -effect.interval->low};
    }
    verdict.word = word_of(verdict.effect);
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

Table table_of(const Comparison& comparison, std::span<const Verdict> verdicts) {
  Table table{.heading = {"claim", "verdict", "difference", "low", "high", "seeds", "of", "than"}};
  for (const Verdict& verdict : verdicts) {
    if (!verdict.effect) {
      table.rows.push_back(
          {Cell::of(verdict.says), Cell::of(verdict.word), {}, {}, {}, {}, {}, {}});
      continue;
    }
    const Configuration &better = comparison.configurations[*verdict.better],
                        &than = comparison.configurations[*verdict.than];
    const Unit unit = unit_of(better.metric);
    const auto number = [&](double value) {
      Cell cell = Cell::number(value * unit.factor, unit.decimals);
      cell.value = value;
      return cell;
    };
    const std::optional<Interval>& interval = verdict.effect->interval;
    table.rows.push_back({Cell::of(verdict.says), Cell::of(verdict.word),
                          number(verdict.effect->mean),
                          interval ? number(interval->low) : Cell::none(),
                          interval ? number(interval->high) : Cell::none(),
                          Cell::count(static_cast<double>(verdict.effect->pairs)),
                          Cell::of(better.name), Cell::of(than.name)});
  }
  return table;
}

}  // namespace ebb::report
