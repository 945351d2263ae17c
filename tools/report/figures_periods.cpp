#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/text.h"
#include "quant/formats/format.h"
#include "tools/report/figures.h"
#include "tools/report/runs_table.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

/// The updates at the lower of two widths, which follow each other; none where there is one width.
struct Period {
  std::int64_t start = 0, length = 0, total = 0;
  std::int64_t low = 0, high = 0;  ///< bits of weights
  friend bool operator==(const Period&, const Period&) = default;
};

/// From the record; none of a run with other courses of bits.
std::optional<Period> period_of(const Run& run) {
  const auto& steps = run.record.history.steps;
  if (steps.empty()) return std::nullopt;
  const auto bits = [](const train::StepRow& row) { return cost_bits(row.formats.weight); };
  const auto [low, high] = std::ranges::minmax(steps, {}, bits);
  Period period{.total = std::ssize(steps), .low = bits(low), .high = bits(high)};
  if (period.low == period.high) return period;
  std::int64_t last = -1;
  for (std::int64_t t = 0; t < period.total; ++t) {
    const std::int64_t here = bits(steps[static_cast<std::size_t>(t)]);
    if (here != period.low && here != period.high) return std::nullopt;
    if (here != period.low) continue;
    if (period.length++ == 0) period.start = t;
    last = t;
  }
  if (last - period.start + 1 != period.length) return std::nullopt;
  return period;
}

/// A configuration whose finished runs all have that period.
struct Member {
  const Configuration* configuration;
  Period period;
};

/// Runs that differ in the period, and in what has to differ with it.
struct Group {
  std::string name{};
  std::vector<Member> members{};
  const Member* reference = nullptr;  ///< trained at the higher width throughout
};

/// What has to differ between runs with other periods.
constexpr std::string_view kOfPeriods[] = {"seed",       "bits",     "schedule",   "lr-schedule",
                                           "iterations", "epochs",   "eval-every", "cycles",
                                           "period",     "min-bits", "max-bits",   "save-every"};

std::vector<Group> groups_of(const Comparison& comparison) {
  std::map<std::string, std::size_t> places;
  std::vector<Group> groups;
  for (const Configuration& each : comparison.configurations) {
    if (!each.score || each.finished.empty()) continue;
    const Run& first = comparison.run(each.finished[0]);
    const std::optional<Period> period = period_of(first);
    const bool same = std::ranges::all_of(
        each.finished, [&](std::size_t i) { return period_of(comparison.run(i)) == period; });
    if (!period || !same) continue;
    std::string key = concat(first.record.config.program, '\n', period->high), name;
    for (const auto& [option, text] : first.record.config.options) {
      if (std::ranges::find(kOfPeriods, option) != std::end(kOfPeriods)) continue;
      key += concat('\n', option, '=', text);
      if (std::ranges::find(comparison.options, option) != comparison.options.end() &&
          !text.empty())
        name += concat(name.empty() ? "" : ", ", option, ' ', text);
    }
    const auto [place, fresh] = places.emplace(key, groups.size());
    if (fresh) groups.emplace_back().name = name;
    groups[place->second].members.push_back({&each, *period});
  }
  for (Group& group : groups) {
    for (const Member& member : group.members) {
      if (member.period.length == 0) group.reference = &member;
    }
  }
  std::erase_if(groups, [](const Group& group) {
    return group.reference == nullptr || group.members.size() < 2;
  });
  return groups;
}

enum class Kind : std::uint8_t { none, deficit, window };

/// A deficit comes before as many updates as the reference has; a window lies within as many.
Kind kind_of(const Member& member, const Group& group) {
  const Period &period = member.period, &reference = group.reference->period;
  if (period.length == 0) return Kind::none;
  if (period.total == reference.total) return Kind::window;
  return period.start == 0 && period.total - period.length == reference.total ? Kind::deficit
                                                                              : Kind::none;
}

/// Members of one kind with the same lower width and, of windows, the same length, by their place.
struct Series {
  std::string name;
  std::vector<std::pair<double, const Configuration*>> points;
};

std::vector<Series> series_of(const Group& group, Kind kind) {
  std::map<std::pair<std::int64_t, std::int64_t>, Series> all;
  for (const Member& member : group.members) {
    if (kind_of(member, group) != kind) continue;
    const Period& period = member.period;
    const bool window = kind == Kind::window;
    Series& series = all[{period.low, window ? period.length : 0}];
    series.name = window ? concat(period.length, " updates at ", period.low, " bits")
                         : concat("at ", period.low, " bits");
    series.points.emplace_back(static_cast<double>(window ? period.start : period.length),
                               member.configuration);
  }
  std::vector<Series> result;
  for (auto& [key, series] : all) {
    if (kind == Kind::deficit) series.points.emplace_back(0, group.reference->configuration);
    std::ranges::sort(series.points);
    result.push_back(std::move(series));
  }
  return result;
}

/// A point with its deviation, and each seed beside it.
void draw_point(Drawing& drawing, const Comparison& comparison, const Configuration& each,
                std::size_t colour, double x, const Axis& y) {
  const double factor = unit_of(each.metric).factor, at = y.at(*each.score * factor);
  const std::string stroke = concat("line k", colour);
  drawing.open_group({{"class", "c"}, {"data-c", each.id}});
  if (each.score_deviation)
    drawing.line(x, y.at((*each.score - *each.score_deviation) * factor), x,
                 y.at((*each.score + *each.score_deviation) * factor),
                 {{"class", stroke}, {"stroke", palette()[colour]}});
  for (const std::size_t i : each.finished) {
    const train::EvalRow* const score = score_of(comparison.run(i));
    if (score == nullptr) continue;
    drawing.shape("circle", {{"cx", coordinate(x + 5)},
                             {"cy", coordinate(y.at(score->score * factor))},
                             {"r", "1.6"},
                             {"class", "muted"},
                             {"fill", kMuted}});
  }
  draw_mark(drawing, {.colour = colour, .shape = Look::Shape::circle, .outline = 1}, x, at, 4.5,
            concat(each.name, ": ", score_text(*each.score, unit_of(each.metric))));
  drawing.close_group();
}

Panel panel_of(const Comparison& comparison, const Group& group, Kind kind,
               const std::vector<Series>& all) {
  const Configuration& reference = *group.reference->configuration;
  const Unit unit = unit_of(reference.metric);
  double low = std::numeric_limits<double>::infinity(), high = -low, least = low, most = high;
  for (const Member& member : group.members) {  // so that both panels have one scale
    if (kind_of(member, group) == Kind::none && member.period.length > 0) continue;
    const Configuration& each = *member.configuration;
    const double deviation = each.score_deviation.value_or(0);
    low = std::min(low, (*each.score - deviation) * unit.factor);
    high = std::max(high, (*each.score + deviation) * unit.factor);
  }
  for (const Series& series : all) {
    least = std::min(least, series.points.front().first);
    most = std::max(most, series.points.back().first);
  }
  std::vector<LegendEntry> legend;
  for (std::size_t i = 0; i < all.size(); ++i)
    legend.push_back(
        {all[i].name, [i](Drawing& drawing, double x, double y) {
           draw_mark(drawing, {.colour = i, .shape = Look::Shape::circle, .outline = 1}, x, y, 4.5);
         }});
  legend.push_back({concat("none: ", score_text(*reference.score, unit)),
                    [](Drawing& drawing, double x, double y) {
                      drawing.line(
                          x - 8, y, x + 8, y,
                          {{"class", "front"}, {"stroke", kMuted}, {"stroke-dasharray", "4 3"}});
                    },
                    reference.id});
  constexpr double kLeft = 44, kRight = 296, kTop = 26, kBottom = 176;
  Drawing drawing(312, kBottom + 50 + 19 * legend_lines(legend, 8, 304));
  const Axis x = Axis::nice(least, most, kLeft, kRight, 5, 0.06),
             y = Axis::nice(low, high, kBottom, kTop, 4);
  draw_left_axis(drawing, y, kLeft, kRight, "");
  draw_bottom_axis(
      drawing, x, kBottom,
      kind == Kind::deficit ? "length of the deficit, updates" : "first update of the window");
  drawing.text(8, 12, concat(measure_of(reference), unit.factor == 100 ? ", %" : ""),
               {{"class", "title"}, {"fill", kMuted}, {"font-size", "10.5"}});
  const double none = y.at(*reference.score * unit.factor);
  drawing.line(kLeft, none, kRight, none,
               {{"class", "front"}, {"stroke", kMuted}, {"stroke-dasharray", "4 3"}});
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<double> xs, ys;
    for (const auto& [place, each] : all[i].points) {
      xs.push_back(x.at(place));
      ys.push_back(y.at(*each->score * unit.factor));
    }
    drawing.path(line_path(xs, ys), {{"class", concat("line k", i)},
                                     {"fill", "none"},
                                     {"stroke", palette()[i]},
                                     {"stroke-width", "1.4"}});
    for (std::size_t j = 0; j < xs.size(); ++j)
      draw_point(drawing, comparison, *all[i].points[j].second, i, xs[j], y);
  }
  draw_legend(drawing, legend, 8, 304, kBottom + 50);
  const char* const what = kind == Kind::deficit ? "initial deficit" : "sliding window";
  return {concat(group.name, group.name.empty() ? "" : ": ", what), std::move(drawing),
          std::nullopt};
}

const char* name_of(Kind kind) {
  return kind == Kind::deficit ? "deficit" : kind == Kind::window ? "window" : "reference";
}

void add_values(const Comparison& comparison, const Group& group, Table& table) {
  for (const Member& member : group.members) {
    const Configuration& each = *member.configuration;
    const Kind kind = kind_of(member, group);
    if (kind == Kind::none && member.period.length > 0) continue;
    const Unit unit = unit_of(each.metric);
    const auto shown = [&](const std::optional<double>& value) {
      Cell cell = value ? Cell::number(*value * unit.factor, unit.decimals) : Cell::none();
      cell.value = value;
      return cell;
    };
    std::optional<double> difference, from, to;
    if (kind != Kind::none) {
      const auto paired = difference_between(comparison, each, *group.reference->configuration);
      if (paired) difference = paired->mean;
      if (paired && paired->interval) {
        from = paired->interval->low;
        to = paired->interval->high;
      }
    }
    const auto count = [](std::int64_t n) { return Cell::count(static_cast<double>(n)); };
    table.rows.push_back({Cell::of(each.name), Cell::of(name_of(kind)), count(member.period.low),
                          count(member.period.high), count(member.period.start),
                          count(member.period.length), count(member.period.total),
                          count(std::ssize(each.finished)), shown(each.score),
                          shown(each.score_deviation), shown(difference), shown(from), shown(to)});
  }
}

}  // namespace

std::vector<Figure> periods_figures(const Comparison& comparison) {
  const std::vector<Group> groups = groups_of(comparison);
  Figure figure{.name = "periods",
                .title = "Critical learning periods",
                .note =
                    "Score against where training was at the lower width, which is read from "
                    "the record of every update. A deficit comes first, and as many updates "
                    "at the higher width follow as the reference (dashed) has in all; a window "
                    "lies within as many updates. Means over seeds with one sample standard "
                    "deviation to either side; small dots are the seeds."};
  figure.values.heading = {"configuration", "kind",      "low bits", "high bits",  "first update",
                           "length",        "updates",   "n",        "score mean", "score sd",
                           "difference",    "95 % from", "95 % to"};
  for (const Group& group : groups) {
    bool drawn = false;
    for (const Kind kind : {Kind::deficit, Kind::window}) {
      const std::vector<Series> all = series_of(group, kind);
      if (all.empty()) continue;
      figure.panels.push_back(panel_of(comparison, group, kind, all));
      drawn = true;
    }
    if (drawn) add_values(comparison, group, figure.values);
  }
  if (figure.panels.empty()) return {};
  return {std::move(figure)};
}

}  // namespace ebb::report
