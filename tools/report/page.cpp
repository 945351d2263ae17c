#include "tools/report/page.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/text.h"
#include "tools/report/assets.h"
#include "tools/report/claims.h"
#include "tools/report/figures.h"
#include "tools/report/runs_table.h"
#include "tools/report/table.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

std::string paragraph(std::string_view text) { return concat("<p>", escaped(text), "</p>\n"); }

std::string plural(std::size_t count, std::string_view one, std::string_view many) {
  return concat(count, ' ', count == 1 ? one : many);
}

/// Values that an entry has among the runs, each once.
template <class Value>
std::vector<std::string> distinct(const Comparison& comparison, const Value& value) {
  std::vector<std::string> seen;
  for (const Run& run : comparison.collection.runs) {
    const std::string text = value(run);
    if (!text.empty() && std::ranges::find(seen, text) == seen.end()) seen.push_back(text);
  }
  return seen;
}

std::string lede(const Comparison& comparison) {
  const auto of = [&](const char* option) {
    return join_words(distinct(comparison, [&](const Run& run) { return run.option(option); }));
  };
  const std::vector<std::string> seeds =
      distinct(comparison, [](const Run& run) { return run.option("seed"); });
  const std::vector<std::string> steps =
      distinct(comparison, [](const Run& run) { return to_text(run.planned_steps()); });
  return concat(of("program"), ", ", of("arch"), " on ", of("data"), ": ",
                plural(comparison.configurations.size(), "configuration", "configurations"), ", ",
                plural(comparison.collection.runs.size(), "run", "runs"), ", ",
                plural(seeds.size(), "seed", "seeds"), ", ", join_words(steps), " updates.");
}

std::vector<std::string> notices(const Comparison& comparison) {
  std::vector<std::string> all;
  const bool synthetic = std::ranges::any_of(comparison.collection.runs, [](const Run& run) {
    return run.option("data").starts_with("synthetic") || run.option("data") == "embedded";
  });
  if (synthetic)
    all.emplace_back(
        "The data are made up or come with the program, for trying things out: they say little of "
        "real ones.");
  const auto unfinished = static_cast<std::size_t>(std::ranges::count_if(
      comparison.collection.runs, [](const Run& run) { return !run.finished(); }));
  if (unfinished > 0)
    all.push_back(
        concat(plural(unfinished, "run is", "runs are"),
               " not finished and in the curves only; all statistics are of finished runs."));
  if (comparison.collection.waiting > 0)
    all.push_back(concat(
        plural(static_cast<std::size_t>(comparison.collection.waiting), "run has", "runs have"),
        " not begun."));
  if (comparison.measures().size() > 1)
    all.push_back(concat("Scores are of several kinds (", join_words(comparison.measures()),
                         ") and are compared within each."));
  const std::vector<std::string> references =
      distinct(comparison, [](const Run& run) { return run.option("cost-reference"); });
  if (references.size() > 1)
    all.push_back(concat("The runs have different cost references (", join_words(references),
                         "); here all costs are relative to ", comparison.cost_reference, "."));
  return all;
}

std::string scored(const Configuration& each) {
  const Unit unit = unit_of(each.metric);
  std::string text = score_text(*each.score, unit);
  if (each.score_deviation)
    text = concat(train::format_fixed(*each.score * unit.factor, unit.decimals), " ± ",
                  train::format_fixed(*each.score_deviation * unit.factor, unit.decimals),
                  unit.suffix);
  return concat(text, " at ", train::format_fixed(*each.cost, 3), " of the cost");
}

std::string named(const Configuration& each) {
  return concat("<b class=\"c\" data-c=\"", each.id, "\">", escaped(each.name), "</b>");
}

bool better(const Configuration& each) {
  return (each.difference->mean > 0) != each.lower_is_better;
}

/// What the comparison with the baseline came to, in sentences.
void add_findings(const Comparison& comparison, const std::string& measure,
                  std::vector<std::string>& items) {
  std::size_t compared = 0, up = 0, down = 0;
  const Configuration *cheapest = nullptr, *widest = nullptr;
  const auto half = [](const Configuration& each) {
    return (each.difference->interval->high - each.difference->interval->low) / 2;
  };
  for (const Configuration& each : comparison.configurations) {
    if (measure_of(each) != measure || !each.difference || !each.difference->interval) continue;
    ++compared;
    const bool separates = each.difference->separates();
    if (separates) ++(better(each) ? up : down);
    if (widest == nullptr || half(each) > half(*widest)) widest = &each;
    const bool worse = separates && !better(each);
    if (!worse && each.cost && (cheapest == nullptr || *each.cost < *cheapest->cost))
      cheapest = &each;
  }
  if (compared == 0) return;
  if (cheapest != nullptr && cheapest->comparable()) {
    const Unit unit = unit_of(cheapest->metric);
    const PairedDifference& difference = *cheapest->difference;
    items.push_back(
        concat("Cheapest that is not separably worse than the baseline: ", named(*cheapest), ", ",
               escaped(scored(*cheapest)), "; it differs by ", signed_text(difference.mean, unit),
               " [", signed_text(difference.interval->low, unit), ", ",
               signed_text(difference.interval->high, unit), "]", unit.difference_suffix,
               ". An interval that contains 0 does not show that the two are equal."));
  }
  const Unit unit = unit_of(widest->metric);
  items.push_back(concat("Of ", compared, " compared with the baseline ", up,
                         up == 1 ? " is" : " are", " separably better, ", down,
                         " separably worse, ", compared - up - down,
                         " within noise. The widest interval is ± ",
                         train::format_fixed(half(*widest) * unit.factor, unit.decimals),
                         unit.difference_suffix, "."));
}

std::string answer(const Comparison& comparison) {
  std::vector<std::string> items;
  for (const std::string& measure : comparison.measures()) {
    const Configuration* best = nullptr;
    std::vector<std::string> front;
    for (const Configuration& each : comparison.configurations) {
      if (measure_of(each) != measure || !each.comparable()) continue;
      const bool leads = best == nullptr || (each.lower_is_better ? *each.score < *best->score
                                                                  : *each.score > *best->score);
      if (leads) best = &each;
      if (each.on_front) front.push_back(named(each));
    }
    if (best == nullptr) continue;
    items.push_back(concat("Best mean ", escaped(measure), ": ", named(*best), ", ",
                           escaped(scored(*best)), "."));
    add_findings(comparison, measure, items);
    if (front.size() > 1)
      items.push_back(concat("Pareto front, from the cheapest: ", join_words(front), "."));
  }
  if (items.empty()) return "";
  std::string html = "<section id=\"answer\" aria-label=\"Findings\"><ul>\n";
  for (const std::string& item : items) html += concat("<li>", item, "</li>\n");
  return html + "</ul></section>\n";
}

std::string svg_of(const Drawing& drawing, const std::string& label, const char* size) {
  return concat("<svg class=\"", size, "\" role=\"img\" aria-label=\"", escaped(label),
                "\" viewBox=\"0 0 ", coordinate(drawing.width()), ' ', coordinate(drawing.height()),
                "\" width=\"", coordinate(drawing.width()), "\" height=\"",
                coordinate(drawing.height()), "\">\n", drawing.body(), "</svg>\n");
}

std::string figure_html(const Figure& figure, std::size_t number) {
  constexpr std::size_t kOpen = 12, kFewMore = 3;  // small panels; others are behind a click
  std::string html = concat("<figure id=\"", figure.name, number > 0 ? to_text(number + 1) : "",
                            "\" class=\"fig\">\n<figcaption><h2>", escaped(figure.title), "</h2>",
                            escaped(figure.note), "</figcaption>\n");
  std::string small;
  std::size_t count = 0;
  const auto total = static_cast<std::size_t>(
      std::ranges::count_if(figure.panels, [](const Panel& panel) { return !panel.narrow; }));
  const bool folded = total > kOpen + kFewMore;
  for (const Panel& panel : figure.panels) {
    const std::string label =
        concat(figure.title, panel.heading.empty() ? "" : ": ", panel.heading);
    if (panel.narrow) {
      html += concat("<div class=\"single\">", svg_of(panel.drawing, label, "wide"),
                     svg_of(*panel.narrow, label, "narrow"), "</div>\n");
      continue;
    }
    if (count++ == kOpen && folded)
      small += concat("</div><details class=\"more\"><summary>", total - kOpen,
                      " more panels</summary><div class=\"panels\">\n");
    small += concat("<div class=\"panel\"><h3>", escaped(panel.heading), "</h3>",
                    svg_of(panel.drawing, label, "small"), "</div>\n");
  }
  if (count > 0)
    html += concat("<div class=\"panels\">\n", small, "</div>", folded ? "</details>" : "", '\n');
  return concat(html,
                "<details class=\"values\"><summary>Table of values</summary><div "
                "class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"",
                escaped(figure.title), "\">", to_html(figure.values, figure.title),
                "</div></details>\n</figure>\n");
}

std::string table_section(const Comparison& comparison) {
  std::string baseline;
  if (comparison.baseline) {
    for (const auto& [name, text] : *comparison.baseline)
      baseline += concat(baseline.empty() ? "" : " ", name, ' ', text);
    baseline = concat("Differences are to ", baseline, ", by seed. ");
  } else {
    baseline = "There is no baseline to compare with. ";
  }
  return concat(
      "<section id=\"table\"><h2 id=\"table-title\">All configurations</h2>\n<p class=\"note\">",
      escaped(baseline),
      "A row is a configuration, its seeds folded; it opens to its runs and their commands.</p>\n"
      "<div class=\"tools\"><label>Filter <input id=\"filter\" type=\"search\" "
      "autocomplete=\"off\" placeholder=\"words that a row has\"></label><span id=\"count\" "
      "role=\"status\"></span></div>\n",
      comparison_table(comparison), "</section>\n");
}

std::string claims_section(const Comparison& comparison) {
  if (!comparison.claims) return "";
  return concat("<section id=\"claims\"><h2>Claims</h2>\n<p class=\"note\">", kHowToReadClaims,
                "</p>\n<div class=\"scroll\">", to_html(*comparison.claims, "Claims"),
                "</div></section>\n");
}

std::string failures_section(const Comparison& comparison) {
  if (comparison.collection.failures.empty()) return "";
  std::string html = "<section id=\"failures\"><h2>What failed</h2>\n<dl>\n";
  for (const Failure& failure : comparison.collection.failures)
    html += concat("<dt>", escaped(failure.name), "</dt><dd>", escaped(failure.message), "</dd>\n");
  return html + "</dl></section>\n";
}

std::string common_section(const Comparison& comparison) {
  Table table{{"option", "value"}};
  if (comparison.collection.runs.empty()) return "";
  for (const auto& [name, text] : comparison.collection.runs[0].record.config.options) {
    if (name != "seed" && !text.empty() &&
        std::ranges::find(comparison.options, name) == comparison.options.end())
      table.rows.push_back({Cell::of(name), Cell::of(text)});
  }
  const auto add = [&](const std::string& name, const auto& entries) {
    std::vector<std::string> values;
    for (const Run& run : comparison.collection.runs) {
      for (const auto& [key, text] : entries(run)) {
        const std::string value = concat(key, ": ", text);
        if (std::ranges::find(values, value) == values.end()) values.push_back(value);
      }
    }
    for (const std::string& value : values) table.rows.push_back({Cell::of(name), Cell::of(value)});
  };
  add("data", [](const Run& run) { return run.record.config.data; });
  add("build", [](const Run& run) { return run.record.config.build; });
  return concat(
      "<details class=\"values\"><summary>Options, data and build that the runs "
      "share</summary><div class=\"scroll\">",
      to_html(table, "What the runs share"), "</div></details>\n");
}

std::string method_section(const Comparison& comparison) {
  const std::string reference =
      comparison.cost_reference.empty() ? "the reference" : comparison.cost_reference;
  return concat(
      "<section id=\"method\"><h2>How to read the numbers</h2>\n<dl>\n<dt>Score</dt><dd>Of the "
      "last "
      "evaluation on the test set, or on the validation set where there is no other; no best of "
      "several is picked.</dd>\n<dt>± sd</dt><dd>The sample standard deviation over seeds (n − 1 "
      "degrees of freedom).</dd>\n<dt>Difference</dt><dd>The mean of the differences to the "
      "baseline, "
      "run by run of the same seed, and its 95 % interval: mean ± t · s / √n with the deviation s "
      "of "
      "these differences and the 0.975 quantile t of Student's distribution with n − 1 degrees of "
      "freedom. It separates if the interval excludes 0; else the two are within noise, which does "
      "not show that they are equal. Each interval stands for itself: of twenty comparisons "
      "without "
      "any effect one is expected to separate.</dd>\n<dt>Cost</dt><dd>Bit-operations of training "
      "as "
      "counted, relative to the same products at ",
      escaped(reference),
      " (bits of weights, activations and gradients).</dd>\n<dt>Seconds</dt><dd>Of updates and "
      "evaluations on the machine that ran them; emulated arithmetic says nothing of how fast "
      "hardware would be.</dd>\n<dt>Training loss</dt><dd>The mean over the steps of the last "
      "epoch.</dd>\n</dl>\n",
      common_section(comparison), "</section>\n");
}

}  // namespace

std::string to_page(const Comparison& comparison) {
  std::string html = concat(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n<link rel=\"icon\" "
      "href=\"data:,\">\n<title>",
      escaped(comparison.title), "</title>\n<style>\n", kPageStyle,
      "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#table\">To the "
      "table</a>\n<header>\n<button "
      "type=\"button\" id=\"theme\" hidden>Theme</button>\n<h1>",
      escaped(comparison.title), "</h1>\n<p class=\"lede\">", escaped(lede(comparison)),
      "</p>\n</header>\n<main>\n");
  for (const std::string& notice : notices(comparison))
    html += concat("<div class=\"notice\" role=\"note\">", paragraph(notice), "</div>\n");
  html += answer(comparison);
  html += claims_section(comparison);
  for (const FigureKind& kind : figure_kinds()) {
    const std::vector<Figure> figures = kind.draw(comparison);
    for (std::size_t i = 0; i < figures.size(); ++i) html += figure_html(figures[i], i);
    if (std::string_view(kind.name) == "pareto") html += table_section(comparison);
  }
  html += failures_section(comparison);
  html += method_section(comparison);
  return concat(
      html,
      "</main>\n<footer><p>Made by <code>ebb report</code>. Every number has all its bits "
      "in the page's source.</p></footer>\n<aside id=\"chosen\" aria-live=\"polite\" "
      "hidden></aside>\n<script>\n",
      kPageScript, "</script>\n</body>\n</html>\n");
}

}  // namespace ebb::report
