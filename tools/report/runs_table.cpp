#include "tools/report/runs_table.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "tools/report/svg.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

std::string with_minus(std::string text) {
  const bool negative = text.starts_with('-');
  return negative ? "−" + text.substr(1) : text;
}

std::string glyph(const Look& look) {
  Drawing drawing(18, 18);
  draw_mark(drawing, look, 9, 9, 5.4);
  return concat(
      "<svg class=\"glyph\" viewBox=\"0 0 18 18\" width=\"18\" height=\"18\" "
      "aria-hidden=\"true\">",
      drawing.body(), "</svg>");
}

/// A cell of numbers; what the record has is in data-value.
std::string number_cell(std::string_view key, const std::optional<double>& value,
                        const std::string& shown, const std::string& more = "") {
  if (!value) return concat("<td class=\"n\" data-k=\"", key, "\">–</td>");
  return concat("<td class=\"n\" data-k=\"", key, "\" data-value=\"", *value, '"', more, '>', shown,
                "</td>");
}

/// Options that need a column: the name of a row tells the schedule.
std::vector<std::size_t> option_columns(const Comparison& comparison) {
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < comparison.options.size(); ++i) {
    if (comparison.options[i] != "schedule" && comparison.options[i] != "bits")
      columns.push_back(i);
  }
  return columns;
}

std::string verdict(const Configuration& each, const Comparison& comparison) {
  const bool is_baseline = each.baseline && &comparison.configurations[*each.baseline] == &each;
  if (is_baseline) return "<td data-k=\"separates\" class=\"muted\">baseline</td>";
  if (!each.difference || !each.difference->interval)
    return "<td data-k=\"separates\" class=\"muted\">–</td>";
  if (!each.difference->separates()) return "<td data-k=\"separates\" class=\"muted\">no</td>";
  const bool better = (each.difference->mean > 0) != each.lower_is_better;
  return concat("<td data-k=\"separates\"><span class=\"", better ? "better" : "worse", "\">",
                better ? "▲ better" : "▼ worse", "</span></td>");
}

std::string difference_cell(const Configuration& each, const Unit& unit) {
  if (!each.difference) return number_cell("difference", std::nullopt, "");
  const PairedDifference& difference = *each.difference;
  std::string shown = signed_text(difference.mean, unit), more;
  if (difference.interval) {
    shown += concat(" <small>[", signed_text(difference.interval->low, unit), ", ",
                    signed_text(difference.interval->high, unit), "]</small>");
    more = concat(" data-low=\"", difference.interval->low, "\" data-high=\"",
                  difference.interval->high, "\" data-pairs=\"", difference.pairs, '"');
  }
  return number_cell("difference", difference.mean, shown, more);
}

std::string configuration_row(const Configuration& each, const Comparison& comparison) {
  const Unit unit = unit_of(each.metric);
  std::string row = concat(
      "<tr class=\"config\"><th scope=\"row\"><button type=\"button\" class=\"pick\" "
      "aria-pressed=\"false\" title=\"",
      escaped(each.name), "\">", glyph(each.look), escaped(each.brief), "</button>",
      each.on_front ? "<span class=\"tag\" title=\"on the Pareto front\">front</span>" : "",
      "<button type=\"button\" class=\"expand\" aria-expanded=\"false\" aria-label=\"runs of ",
      escaped(each.name), "\">", each.runs.size(), each.runs.size() == 1 ? " run" : " runs",
      "</button></th>");
  for (const std::size_t i : option_columns(comparison)) {
    const std::string& text = each.options[i];
    row += concat("<td data-k=\"option\"", text.size() > 24 ? " class=\"long\"" : "", ">",
                  text.empty() ? "–" : escaped(text), "</td>");
  }
  const auto finished = static_cast<double>(each.finished.size());
  row += number_cell("n", finished, to_text(each.finished.size()));
  std::string score, deviation;
  if (each.score) score = train::format_fixed(*each.score * unit.factor, unit.decimals);
  if (each.score_deviation) {
    score +=
        concat(" <small>± ",
               train::format_fixed(*each.score_deviation * unit.factor, unit.decimals), "</small>");
    deviation = concat(" data-sd=\"", *each.score_deviation, '"');
  }
  row += number_cell("score", each.score, score, deviation);
  if (comparison.baseline) row += difference_cell(each, unit) + verdict(each, comparison);
  row += number_cell("loss", each.loss, each.loss ? train::format_fixed(*each.loss, 4) : "");
  row += number_cell("cost", each.cost, each.cost ? train::format_fixed(*each.cost, 4) : "");
  row += number_cell("seconds", each.finished.empty() ? std::nullopt : std::optional(each.seconds),
                     train::format_fixed(each.seconds, 1));
  return row + "</tr>\n";
}

/// The difference of one run to that of the baseline with its seed.
std::optional<double> difference_of(const Run& run, const Configuration& each,
                                    const Comparison& comparison) {
  const train::EvalRow* const score = score_of(run);
  if (!each.baseline || !each.difference || score == nullptr || !run.finished())
    return std::nullopt;
  for (const std::size_t i : comparison.configurations[*each.baseline].finished) {
    const train::EvalRow* const base = score_of(comparison.run(i));
    if (base != nullptr && comparison.run(i).option("seed") == run.option("seed"))
      return score->score - base->score;
  }
  return std::nullopt;
}

std::string run_rows(const Run& run, const Configuration& each, const Comparison& comparison) {
  const Unit unit = unit_of(each.metric);
  const std::size_t options = option_columns(comparison).size();
  const std::string state =
      run.finished() ? "" : concat(", ", run.steps(), " of ", run.planned_steps(), " updates");
  const train::EvalRow* const score = score_of(run);
  const std::optional<double> difference = difference_of(run, each, comparison);
  std::optional<double> cost;
  if (run.record.saved_at) cost = run.record.cost.exact;
  std::string html = concat(
      "<tr class=\"run r\" data-r=\"", escaped(run.name), "\"><th scope=\"row\">",
      escaped(run.name), "</th><td colspan=\"", options + 1, "\">seed ",
      escaped(run.option("seed")), state, "</td>",
      number_cell("run-score", score ? std::optional(score->score) : std::nullopt,
                  score ? train::format_fixed(score->score * unit.factor, unit.decimals) : ""));
  if (comparison.baseline)
    html += concat(
        number_cell("run-difference", difference, difference ? signed_text(*difference, unit) : ""),
        "<td></td>");
  html += concat(
      "<td></td>", number_cell("run-cost", cost, cost ? train::format_fixed(*cost, 4) : ""),
      number_cell("run-seconds", run.seconds(), train::format_fixed(run.seconds(), 1)), "</tr>\n");
  const std::size_t all = options + 5 + (comparison.baseline ? 2 : 0);
  return concat(
      html, "<tr class=\"run command\"><td colspan=\"", all + 1,
      "\"><div class=\"command\"><button type=\"button\" class=\"copy\">copy</button><code>",
      escaped(shell_line(run.command)), "</code></div></td></tr>\n");
}

}  // namespace

std::string signed_text(double value, const Unit& unit) {
  const std::string text = train::format_fixed(value * unit.factor, unit.decimals);
  return (value > 0 ? "+" : "") + with_minus(text);
}

std::string score_text(double value, const Unit& unit) {
  return with_minus(train::format_fixed(value * unit.factor, unit.decimals)) + unit.suffix;
}

std::string comparison_table(const Comparison& comparison) {
  const auto heading = [](std::string_view key, const std::string& text, const std::string& title) {
    return concat("<th scope=\"col\" aria-sort=\"none\" title=\"", escaped(title),
                  "\"><button type=\"button\" class=\"sort\" data-key=\"", key, "\">",
                  escaped(text), "</button></th>");
  };
  const std::vector<std::string> measures = comparison.measures();
  const std::string measure = measures.size() == 1 ? measures[0] : "score";
  const bool percent = measures.size() == 1 && measure.ends_with("accuracy");
  std::string html =
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"table-title\">"
      "<table id=\"comparison\"><thead><tr>";
  html += heading("name", "configuration", "options but the seed");
  for (const std::size_t i : option_columns(comparison))
    html += heading(concat("option", i), comparison.options[i], "an option in which runs differ");
  html += heading("n", "n", "finished runs");
  html += heading("score", concat(measure, percent ? ", %" : "", " ± sd"),
                  "mean over seeds and sample standard deviation");
  if (comparison.baseline) {
    html +=
        heading("difference", concat("to baseline", percent ? ", points" : "", " [95 %]"),
                "mean of the differences to the baseline's runs of the same seed, with the 95 % "
                "interval of Student's t");
    html += heading("separates", "separates", "whether the interval excludes 0");
  }
  html += heading("loss", "training loss", "of the last epoch, mean over seeds");
  html +=
      heading("cost", "cost",
              concat("of training, relative to the same products at ", comparison.cost_reference));
  html += heading("seconds", "seconds", "of a run, updates and evaluations, mean over seeds");
  html += "</tr></thead>\n";
  for (const Configuration& each : comparison.configurations) {
    html += concat("<tbody class=\"c\" data-c=\"", each.id, "\">\n",
                   configuration_row(each, comparison));
    for (const std::size_t i : each.runs) html += run_rows(comparison.run(i), each, comparison);
    html += "</tbody>\n";
  }
  return html + "</table></div>\n";
}

Table table_of_runs(const Collection& collection) {
  const std::vector<std::string> options = differing_options(collection.runs);
  Table table{{"run"}};
  for (const std::string& option : options) table.heading.push_back(option);
  for (const char* name :
       {"seed", "updates", "of", "metric", "split", "score", "loss", "training_loss",
        "relative_cost", "cost_reference", "bit_ops", "seconds"})
    table.heading.emplace_back(name);
  for (const Run& run : collection.runs) {
    std::vector<Cell> row{Cell::of(run.name)};
    for (const std::string& option : options) row.push_back(Cell::of(run.option(option)));
    const train::EvalRow* const score = score_of(run);
    std::int64_t epoch = 1;
    if (!parse_number(run.resolved("steps_per_epoch"), epoch)) epoch = 1;
    const bool costs = run.record.saved_at.has_value();
    row.push_back(Cell::of(run.option("seed")));
    row.push_back(Cell::count(static_cast<double>(run.steps())));
    row.push_back(Cell::count(static_cast<double>(run.planned_steps())));
    row.push_back(Cell::of(score ? score->metric : ""));
    row.push_back(Cell::of(score ? score->split : ""));
    row.push_back(score ? Cell::number(score->score, 4) : Cell::none());
    row.push_back(score ? Cell::number(score->loss, 4) : Cell::none());
    row.push_back(Cell::number(train::training_loss(run.record.history, epoch), 4));
    row.push_back(costs ? Cell::number(run.record.cost.exact, 4) : Cell::none());
    row.push_back(Cell::of(costs ? to_text(run.record.cost.basis) : ""));
    row.push_back(Cell::of(costs ? to_text(run.record.ledger.total_bit_ops()) : ""));
    row.push_back(Cell::number(run.seconds(), 1));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// The settings that follow schedules in some run, in the order in which they are met.
std::vector<std::string> settings_of(const Collection& collection) {
  std::vector<std::string> names;
  for (const Run& run : collection.runs) {
    if (run.record.history.steps.empty()) continue;
    for (const auto& [name, value] : run.record.history.steps.front().settings) {
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

Cell setting_of(const train::StepRow& row, const std::string& name) {
  const auto found = std::ranges::find(row.settings, name, &NamedNumbers::value_type::first);
  return found == row.settings.end() ? Cell::none() : Cell::number(found->second, 6);
}

Table table_of_steps(const Collection& collection) {
  Table table{{"run", "iteration", "epoch", "loss", "accuracy", "learning_rate", "weight",
               "activation", "gradient", "bit_ops", "seconds"}};
  const std::vector<std::string> settings = settings_of(collection);
  table.heading.insert(table.heading.end(), settings.begin(), settings.end());
  for (const Run& run : collection.runs) {
    for (const train::StepRow& row : run.record.history.steps) {
      table.rows.push_back({Cell::of(run.name), Cell::of(to_text(row.iteration)),
                            Cell::of(to_text(row.epoch)), Cell::number(row.loss, 6),
                            Cell::number(row.accuracy, 6), Cell::number(row.learning_rate, 6),
                            Cell::of(to_text(row.formats.weight)),
                            Cell::of(to_text(row.formats.activation)),
                            Cell::of(row.formats.gradient ? to_text(*row.formats.gradient) : ""),
                            Cell::of(to_text(row.bit_ops)), Cell::number(row.seconds, 6)});
      for (const std::string& name : settings) table.rows.back().push_back(setting_of(row, name));
    }
  }
  return table;
}

Table table_of_evaluations(const Collection& collection) {
  Table table{{"run", "iteration", "split", "examples", "loss", "metric", "score", "weight",
               "activation", "bit_ops", "seconds"}};
  for (const Run& run : collection.runs) {
    for (const train::EvalRow& row : run.record.history.evaluations)
      table.rows.push_back({Cell::of(run.name), Cell::of(to_text(row.iteration)),
                            Cell::of(row.split), Cell::of(to_text(row.examples)),
                            Cell::number(row.loss, 6), Cell::of(row.metric),
                            Cell::number(row.score, 6), Cell::of(to_text(row.formats.weight)),
                            Cell::of(to_text(row.formats.activation)),
                            Cell::of(to_text(row.bit_ops)), Cell::number(row.seconds, 6)});
  }
  return table;
}

}  // namespace ebb::report
