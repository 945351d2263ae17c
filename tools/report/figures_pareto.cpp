#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/text.h"
#include "tools/report/figures.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

using Configurations = std::vector<const Configuration*>;

struct Plot {
  double width, height, left, right, top, bottom;
  Axis x, y;
  double far_x = 0;     // where those stand that cost many times the others
  double far_from = 0;  // costs above it are far; infinite if none is
  Unit unit;
  [[nodiscard]] double at(const Configuration& each) const {
    return *each.cost > far_from ? far_x : x.at(*each.cost);
  }
  [[nodiscard]] double at_score(double score) const { return y.at(score * unit.factor); }
};

/// Costs above this are several times those of all others, as float32 is among 8 bits: on one scale
/// the others would fall together.
double find_far(const Configurations& all) {
  constexpr double kGap = 2.5;
  std::vector<double> costs;
  for (const Configuration* each : all) costs.push_back(*each->cost);
  std::ranges::sort(costs);
  for (std::size_t i = 1; i + 1 < costs.size(); ++i) {
    if (costs[i] > 0 && costs[i + 1] > kGap * costs[i]) return costs[i];
  }
  return std::numeric_limits<double>::infinity();
}

Plot plan(const Configurations& all, double width, double height, double legend) {
  Plot plot{.width = width,
            .height = height,
            .left = 54,
            .right = width - 22,
            .top = 34,
            .bottom = height - 50 - legend,
            .x = {},
            .y = {},
            .far_from = find_far(all),
            .unit = unit_of(all[0]->metric)};
  double low = std::numeric_limits<double>::infinity(), high = -low;
  double cheap = low, dear = high;
  for (const Configuration* each : all) {
    const double deviation = each->score_deviation.value_or(0);
    low = std::min(low, (*each->score - deviation) * plot.unit.factor);
    high = std::max(high, (*each->score + deviation) * plot.unit.factor);
    if (*each->cost > plot.far_from) continue;
    cheap = std::min(cheap, *each->cost);
    dear = std::max(dear, *each->cost);
  }
  double right = plot.right;
  if (std::isfinite(plot.far_from)) {
    plot.far_x = plot.right - 26;
    right = plot.right - 64;
  }
  plot.x = Axis::nice(cheap, dear, plot.left, right, width < 500 ? 4 : 8, 0.07);
  plot.y = Axis::nice(low, high, plot.bottom, plot.top, 6, 0.08);
  return plot;
}

void draw_far_strip(Drawing& drawing, const Plot& plot) {
  if (!std::isfinite(plot.far_from)) return;
  const double x = plot.right - 52;
  drawing.rectangle(x, plot.top, plot.right - x, plot.bottom - plot.top,
                    {{"class", "strip"}, {"fill", kFaint}, {"fill-opacity", "0.35"}});
  for (const double shift : {-3.0, 2.0})
    drawing.line(x - 6 + shift, plot.bottom + 5, x - 1 + shift, plot.bottom - 5,
                 {{"class", "base"}, {"stroke", kMuted}});
  drawing.text((x + plot.right) / 2, plot.bottom + 16, "beyond",
               {{"class", "muted"}, {"fill", kMuted}, {"font-size", "11"}}, "middle");
}

void draw_front(Drawing& drawing, const Plot& plot, const Configurations& all) {
  std::string d;
  for (const Configuration* each : all) {  // by cost
    if (!each->on_front) continue;
    d += concat(d.empty() ? "M" : "H", coordinate(plot.at(*each)), d.empty() ? " " : "V",
                coordinate(plot.at_score(*each->score)));
  }
  d += concat("H", coordinate(plot.right));
  drawing.path(d, {{"class", "front"},
                   {"fill", "none"},
                   {"stroke", kMuted},
                   {"stroke-width", "1.5"},
                   {"stroke-dasharray", "5 3"}});
}

std::string told(const Configuration& each, const Unit& unit) {
  std::string text =
      concat(each.name, ": ", train::format_fixed(*each.score * unit.factor, unit.decimals));
  if (each.score_deviation)
    text += concat(" ± ", train::format_fixed(*each.score_deviation * unit.factor, unit.decimals));
  return concat(text, unit.suffix, " at ", train::format_fixed(*each.cost, 3),
                " of the cost, n = ", each.finished.size());
}

void draw_points(Drawing& drawing, const Plot& plot, const Configurations& all) {
  for (const Configuration* each : all) {
    const double x = plot.at(*each), y = plot.at_score(*each->score);
    drawing.open_group({{"class", "c"}, {"data-c", each->id}});
    if (each->score_deviation) {
      const double up = plot.at_score(*each->score + *each->score_deviation);
      const double down = plot.at_score(*each->score - *each->score_deviation);
      const std::string d = concat("M", coordinate(x), ' ', coordinate(up), 'V', coordinate(down),
                                   'M', coordinate(x - 3), ' ', coordinate(up), "h6M",
                                   coordinate(x - 3), ' ', coordinate(down), "h6");
      drawing.path(d, {{"class", concat("bar k", each->look.colour)},
                       {"fill", "none"},
                       {"stroke", palette()[each->look.colour]},
                       {"stroke-width", "1.3"}});
    }
    draw_mark(drawing, each->look, x, y, 6.2, told(*each, plot.unit));
    drawing.close_group();
  }
}

struct Box {
  double left, top, right, bottom;
  [[nodiscard]] double overlap(const Box& other) const {
    const double width = std::min(right, other.right) - std::max(left, other.left);
    const double height = std::min(bottom, other.bottom) - std::max(top, other.top);
    return std::max(0.0, width) * std::max(0.0, height);
  }
};

/// Names beside the points, each where it covers least; one that has no room is left out, since the
/// table and the pointer tell it.
void draw_names(Drawing& drawing, const Plot& plot, const Configurations& all) {
  constexpr double kSize = 11.5, kReach = 9;
  std::vector<Box> taken;
  for (const Configuration* each : all) {
    const double x = plot.at(*each), y = plot.at_score(*each->score);
    taken.push_back({x - 7, y - 7, x + 7, y + 7});
    const double deviation = each->score_deviation.value_or(0);
    taken.push_back({x - 3, plot.at_score(*each->score + deviation), x + 3,
                     plot.at_score(*each->score - deviation)});
    if (taken.back().top > taken.back().bottom) std::swap(taken.back().top, taken.back().bottom);
  }
  drawing.open_group({{"class", "names halo"},
                      {"fill", kInk},
                      {"font-size", "11.5"},
                      {"stroke", kPaper},
                      {"stroke-width", "3"},
                      {"stroke-linejoin", "round"},
                      {"paint-order", "stroke"}});
  for (const Configuration* each : all) {
    const double x = plot.at(*each), y = plot.at_score(*each->score);
    const std::string far =
        *each->cost > plot.far_from ? concat(" ", train::format_fixed(*each->cost, 1), "×") : "";
    const std::string name = each->brief + far;
    const double width = width_of(name, kSize);
    struct Place {
      double x, y;
      const char* anchor;
      Box box;
    };
    const auto right_of = [&](double up) {
      return Place{x + kReach,
                   y + 4 - up,
                   "start",
                   {x + kReach, y - 6 - up, x + kReach + width, y + 6 - up}};
    };
    const auto left_of = [&](double up) {
      return Place{
          x - kReach, y + 4 - up, "end", {x - kReach - width, y - 6 - up, x - kReach, y + 6 - up}};
    };
    const auto above = [&](double up) {
      return Place{x, y - up, "middle", {x - width / 2, y - up - 10, x + width / 2, y - up + 2}};
    };
    const std::array places{right_of(0), left_of(0),   above(11),  above(-19),
                            right_of(9), right_of(-9), left_of(9), left_of(-9)};
    const Place* best = nullptr;
    double least = 30;  // square pixels that may be covered
    for (const Place& place : places) {
      if (place.box.left < plot.left || place.box.right > plot.width - 2 ||
          place.box.top < plot.top - 8 || place.box.bottom > plot.bottom)
        continue;
      double covered = 0;
      for (const Box& box : taken) covered += place.box.overlap(box);
      if (covered < least) {
        least = covered;
        best = &place;
      }
    }
    if (best == nullptr) continue;
    taken.push_back(best->box);
    drawing.open_group({{"class", "c"}, {"data-c", each->id}});
    drawing.text(best->x, best->y, name, {{"font-weight", each->on_front ? "600" : ""}},
                 best->anchor);
    drawing.close_group();
  }
  drawing.close_group();
}

std::vector<LegendEntry> legend_of(const Configurations& all, const Comparison& comparison) {
  static constexpr const char* kProfiles[] = {"cosine", "linear", "exponential", "REX"};
  static constexpr const char* kShapes[] = {"repeated", "triangular", "static", "fp32"};
  std::vector<LegendEntry> entries;
  std::vector<std::string> seen;
  const auto add = [&](const std::string& text, const Look& look) {
    if (std::ranges::find(seen, text) != seen.end()) return;
    seen.push_back(text);
    entries.push_back({text, [look](Drawing& drawing, double x, double y) {
                         draw_mark(drawing, look, x, y, 5);
                       }});
  };
  for (const Configuration* each : all) {
    if (each->look.colour < 4)
      add(kProfiles[each->look.colour], {each->look.colour, Look::Shape::circle, 1});
  }
  for (const Configuration* each : all) {
    const auto shape = static_cast<std::size_t>(each->look.shape);
    const std::size_t grey = each->look.shape == Look::Shape::diamond ? 5 : 4;
    if (shape < std::size(kShapes)) add(kShapes[shape], {grey, each->look.shape, 1});
  }
  for (const Configuration* each : all) {
    if (each->look.colour >= 6) add(each->brief, {each->look.colour, each->look.shape, 1});
  }
  std::vector<std::string> widths;
  for (const Configuration* each : all) {
    const std::string width = comparison.run(each->runs[0]).option("max-bits");
    if (each->look.shape == Look::Shape::diamond || width.empty()) continue;
    if (std::ranges::find(widths, width) == widths.end()) widths.push_back(width);
  }
  if (widths.size() > 1) {
    for (const Configuration* each : all) {
      const std::string width = comparison.run(each->runs[0]).option("max-bits");
      if (each->look.shape != Look::Shape::diamond)
        add(concat("highest width ", width), {4, Look::Shape::circle, each->look.outline});
    }
  }
  entries.push_back({"Pareto front", [](Drawing& drawing, double x, double y) {
                       drawing.line(x - 9, y, x + 9, y,
                                    {{"class", "front"},
                                     {"stroke", kMuted},
                                     {"stroke-width", "1.5"},
                                     {"stroke-dasharray", "5 3"}});
                     }});
  return entries;
}

Drawing draw(const Configurations& all, const Comparison& comparison, double width,
             double plot_height) {
  const std::vector<LegendEntry> legend = legend_of(all, comparison);
  const double legend_height = 19.0 * legend_lines(legend, 54, width - 10);
  const double height = plot_height + legend_height;
  const Plot plot = plan(all, width, height, legend_height);
  Drawing drawing(width, height);
  const std::string score = measure_of(*all[0]);
  const std::string unit = plot.unit.factor == 100 ? ", %" : "";
  draw_far_strip(drawing, plot);
  draw_left_axis(drawing, plot.y, plot.left, plot.right, "");
  drawing.text(plot.left - 40, 16,
               concat(score, unit, all[0]->lower_is_better ? " (less is better)" : ""),
               {{"class", "title"}, {"fill", kMuted}, {"font-size", "11.5"}});
  draw_bottom_axis(drawing, plot.x, plot.bottom,
                   concat("cost of training, relative to ", comparison.cost_reference));
  draw_front(drawing, plot, all);
  draw_points(drawing, plot, all);
  draw_names(drawing, plot, all);
  draw_legend(drawing, legend, plot.left, width - 10, plot.bottom + 56);
  return drawing;
}

}  // namespace

std::vector<Figure> pareto_figures(const Comparison& comparison) {
  std::vector<Figure> figures;
  for (const std::string& measure : comparison.measures()) {
    Configurations all;
    for (const Configuration& each : comparison.configurations) {
      if (each.comparable() && measure_of(each) == measure) all.push_back(&each);
    }
    if (all.empty()) continue;
    Figure figure{
        .name = "pareto",
        .title = concat("Score against cost: ", measure),
        .note = concat("A point is the mean over the seeds of a configuration, a bar "
                       "one sample standard deviation to either side. The dashed line is "
                       "the Pareto front of the means: nothing beside it scores better at "
                       "the same cost or less.")};
    figure.panels.push_back({"", draw(all, comparison, 860, 430), draw(all, comparison, 372, 360)});
    figure.values.heading = {"configuration", "n",    "score mean", "score sd",
                             "relative cost", "front"};
    const Unit unit = unit_of(all[0]->metric);
    for (const Configuration* each : all) {
      Cell score = Cell::number(*each->score * unit.factor, unit.decimals);
      score.value = *each->score;
      Cell deviation = Cell::none();
      if (each->score_deviation) {
        deviation = Cell::number(*each->score_deviation * unit.factor, unit.decimals);
        deviation.value = *each->score_deviation;
      }
      figure.values.rows.push_back(
          {Cell::of(each->name), Cell::count(static_cast<double>(each->finished.size())), score,
           deviation, Cell::number(each->cost, 4), Cell::of(each->on_front ? "yes" : "")});
    }
    figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace ebb::report
