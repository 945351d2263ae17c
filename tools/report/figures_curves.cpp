#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/text.h"
#include "quant/formats/format.h"
#include "tools/report/figures.h"
#include "train/app/progress.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  [[nodiscard]] bool empty() const { return low > high; }
};

constexpr std::size_t kBuckets = 150;  // of a panel, two points each

/// A column of the record, downsampled.
struct Curve {
  std::vector<double> iterations, values;
};
template <class Row, class Value>
Curve curve_of(const std::vector<Row>& rows, const Value& value) {
  std::vector<double> all(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) all[i] = value(rows[i]);
  Curve curve;
  for (const std::size_t i : extremes(all, kBuckets)) {
    curve.iterations.push_back(static_cast<double>(rows[i].iteration));
    curve.values.push_back(all[i]);
  }
  return curve;
}

double weight_bits(const train::StepRow& row) {
  return static_cast<double>(cost_bits(row.formats.weight));
}

std::vector<const train::EvalRow*> scores_of(const Run& run, const std::string& split) {
  std::vector<const train::EvalRow*> rows;
  for (const train::EvalRow& row : run.record.history.evaluations) {
    if (row.split == split) rows.push_back(&row);
  }
  return rows;
}

/// What all panels share, so that they can be compared.
struct Scales {
  double steps = 1, bits = 1;
  Range loss, score;
};
Scales scales_of(const Comparison& comparison, const std::string& measure) {
  Scales scales;
  for (const Configuration& each : comparison.configurations) {
    if (measure_of(each) != measure) continue;
    for (const std::size_t i : each.runs) {
      const Run& run = comparison.run(i);
      scales.steps = std::max({scales.steps, static_cast<double>(run.planned_steps()),
                               static_cast<double>(run.steps())});
      for (const train::StepRow& row : run.record.history.steps) {
        scales.loss.add(row.loss);
        if (weight_bits(row) <= 16) scales.bits = std::max(scales.bits, weight_bits(row));
      }
      for (const train::EvalRow* row : scores_of(run, each.split))
        scales.score.add(row->score * unit_of(each.metric).factor);
    }
  }
  return scales;
}

std::string dashes_of(const Look& look) {
  return look.shape == Look::Shape::triangle ? "5 2.5" : "";
}

struct Frame {
  double left, right, top, bottom;
};

/// Bits as an area behind other curves, with their extremes at the right.
void draw_bits(Drawing& drawing, const Run& run, const Scales& scales, const Axis& x,
               const Frame& frame) {
  const Curve curve = curve_of(run.record.history.steps, weight_bits);
  if (curve.values.empty()) return;
  const auto at = [&](double bits) {
    return frame.bottom - std::min(1.0, bits / scales.bits) * (frame.bottom - frame.top);
  };
  std::vector<double> xs, ys;
  Range range;
  for (std::size_t i = 0; i < curve.values.size(); ++i) {
    xs.push_back(x.at(curve.iterations[i]));
    ys.push_back(at(curve.values[i]));
    range.add(curve.values[i]);
  }
  drawing.path(
      concat(step_path(xs, ys), 'V', coordinate(frame.bottom), 'H', coordinate(xs[0]), 'Z'),
      {{"class", "bits"}, {"fill", kFaint}, {"fill-opacity", "0.6"}});
  drawing.open_group({{"class", "axis"}, {"fill", kMuted}, {"font-size", "10"}});
  const auto label = [&](double bits) {
    drawing.text(frame.right + 4, at(bits) + 3.5, bits == 32 ? "fp32" : to_text(bits), {});
  };
  label(range.high);
  if (range.low < range.high && at(range.low) - at(range.high) > 11) label(range.low);
  drawing.close_group();
}

void draw_run(Drawing& drawing, const Configuration& each, const Run& run, const Axis& x,
              const Axis& loss, const Axis& score) {
  const std::string colour = palette()[each.look.colour];
  const std::string line = concat("line k", each.look.colour);
  const auto pixels = [&](const std::vector<double>& values, const Axis& axis) {
    std::vector<double> at;
    for (const double value : values) at.push_back(axis.at(value));
    return at;
  };
  drawing.open_group({{"class", "r"}, {"data-r", run.name}});
  const Curve curve =
      curve_of(run.record.history.steps, [](const train::StepRow& row) { return row.loss; });
  drawing.path(line_path(pixels(curve.iterations, x), pixels(curve.values, loss)),
               {{"class", line},
                {"fill", "none"},
                {"stroke", colour},
                {"stroke-opacity", "0.7"},
                {"stroke-linejoin", "round"}});
  Curve scores;
  for (const train::EvalRow* row : scores_of(run, each.split)) {
    scores.iterations.push_back(static_cast<double>(row->iteration));
    scores.values.push_back(row->score * unit_of(each.metric).factor);
  }
  drawing.path(line_path(pixels(scores.iterations, x), pixels(scores.values, score)),
               {{"class", line},
                {"fill", "none"},
                {"stroke", colour},
                {"stroke-width", "1.6"},
                {"stroke-linejoin", "round"}});
  drawing.close_group();
}

Panel configuration_panel(const Comparison& comparison, const Configuration& each,
                          const Scales& scales) {
  Drawing drawing(312, 246);
  const Frame top{44, 284, 20, 126}, low{44, 284, 150, 212};
  const Axis x = Axis::nice(0, scales.steps, top.left, top.right, 4, 0);
  const Axis loss = Axis::wide(scales.loss.low, scales.loss.high, top.bottom, top.top, 4);
  const Axis score = Axis::nice(scales.score.low, scales.score.high, low.bottom, low.top, 3);
  drawing.open_group({{"class", "c"}, {"data-c", each.id}});
  const Run& first = comparison.run(each.runs[0]);
  draw_bits(drawing, first, scales, x, top);
  draw_bits(drawing, first, scales, x, low);
  draw_left_axis(drawing, loss, top.left, top.right, "");
  draw_left_axis(drawing, score, low.left, low.right, "");
  drawing.open_group({{"class", "title"}, {"fill", kMuted}, {"font-size", "10.5"}});
  drawing.text(top.left - 36, 12, "training loss", {});
  drawing.text(top.left - 36, 143,
               concat(measure_of(each), unit_of(each.metric).factor == 100 ? ", %" : ""), {});
  drawing.text(top.right + 22, 12, "bits", {}, "end");
  drawing.close_group();
  draw_bottom_axis(drawing, x, low.bottom, "");
  for (const std::size_t i : each.runs) draw_run(drawing, each, comparison.run(i), x, loss, score);
  drawing.close_group();
  return {each.name, std::move(drawing), std::nullopt};
}

/// Mean scores of a configuration's finished runs after each number of updates that all share.
struct MeanScores {
  std::vector<double> iterations, means, losses;
  std::vector<std::optional<double>> deviations;
  std::size_t runs = 0;
};
MeanScores mean_scores(const Comparison& comparison, const Configuration& each) {
  std::map<std::int64_t, std::pair<std::vector<double>, std::vector<double>>> by_iteration;
  const auto& chosen = each.finished.empty() ? each.runs : each.finished;
  for (const std::size_t i : chosen) {
    for (const train::EvalRow* row : scores_of(comparison.run(i), each.split)) {
      by_iteration[row->iteration].first.push_back(row->score);
      by_iteration[row->iteration].second.push_back(row->loss);
    }
  }
  MeanScores result{
      .iterations = {}, .means = {}, .losses = {}, .deviations = {}, .runs = chosen.size()};
  for (const auto& [iteration, rows] : by_iteration) {
    if (rows.first.size() != chosen.size()) continue;
    result.iterations.push_back(static_cast<double>(iteration));
    result.means.push_back(mean(rows.first));
    result.losses.push_back(mean(rows.second));
    result.deviations.push_back(sample_deviation(rows.first));
  }
  return result;
}

Drawing overview(const Comparison& comparison, const std::vector<const Configuration*>& all,
                 const Scales& scales, double width, double plot_height) {
  std::vector<LegendEntry> legend;
  for (const Configuration* each : all)
    legend.push_back({each->name,
                      [each](Drawing& drawing, double x, double y) {
                        drawing.line(x - 8, y, x + 8, y,
                                     {{"class", concat("line k", each->look.colour)},
                                      {"stroke", palette()[each->look.colour]},
                                      {"stroke-width", each->look.outline == 0 ? "2.4" : "1.3"},
                                      {"stroke-dasharray", dashes_of(each->look)}});
                      },
                      each->id});
  const double lines = legend_lines(legend, 52, width - 10);
  Drawing drawing(width, plot_height + 19 * lines);
  const Axis x = Axis::nice(0, scales.steps, 52, width - 18, width < 500 ? 4 : 8, 0);
  const Axis y = Axis::nice(scales.score.low, scales.score.high, plot_height - 50, 30, 6);
  const Unit unit = unit_of(all[0]->metric);
  draw_left_axis(drawing, y, 52, width - 18, "");
  drawing.text(14, 14, concat(measure_of(*all[0]), unit.factor == 100 ? ", %" : ""),
               {{"class", "title"}, {"fill", kMuted}, {"font-size", "11.5"}});
  draw_bottom_axis(drawing, x, plot_height - 50, "updates");
  for (const Configuration* each : all) {
    const MeanScores scores = mean_scores(comparison, *each);
    std::vector<double> xs, ys;
    for (std::size_t i = 0; i < scores.iterations.size(); ++i) {
      xs.push_back(x.at(scores.iterations[i]));
      ys.push_back(y.at(scores.means[i] * unit.factor));
    }
    drawing.open_group({{"class", "c"}, {"data-c", each->id}});
    drawing.path(line_path(xs, ys), {{"class", concat("line k", each->look.colour)},
                                     {"fill", "none"},
                                     {"stroke", palette()[each->look.colour]},
                                     {"stroke-width", each->look.outline == 0 ? "2.4" : "1.3"},
                                     {"stroke-linejoin", "round"},
                                     {"stroke-dasharray", dashes_of(each->look)}});
    drawing.close_group();
  }
  draw_legend(drawing, legend, 52, width - 10, plot_height + 6);
  return drawing;
}

Table shown_values(const Comparison& comparison, const std::vector<const Configuration*>& all) {
  Table table{{"configuration", "updates", "n", "loss mean", "score mean", "score sd"}};
  for (const Configuration* each : all) {
    const MeanScores scores = mean_scores(comparison, *each);
    const Unit unit = unit_of(each->metric);
    const auto shown = [&](const std::optional<double>& value) {
      Cell cell = value ? Cell::number(*value * unit.factor, unit.decimals) : Cell::none();
      cell.value = value;
      return cell;
    };
    for (std::size_t i = 0; i < scores.iterations.size(); ++i)
      table.rows.push_back({Cell::of(each->name), Cell::count(scores.iterations[i]),
                            Cell::count(static_cast<double>(scores.runs)),
                            Cell::number(scores.losses[i], 4), shown(scores.means[i]),
                            shown(scores.deviations[i])});
  }
  return table;
}

Table all_curves(const Comparison& comparison) {
  Table table{{"run", "configuration", "seed", "series", "iteration", "loss", "score", "weight",
               "activation"}};
  for (const Configuration& each : comparison.configurations) {
    for (const std::size_t i : each.runs) {
      const Run& run = comparison.run(i);
      const auto add = [&](const std::string& series, std::int64_t iteration, double loss,
                           Cell score, const train::RoleFormats& formats) {
        table.rows.push_back({Cell::of(run.name), Cell::of(each.name), Cell::of(run.option("seed")),
                              Cell::of(series), Cell::count(static_cast<double>(iteration)),
                              Cell::number(loss, 6), std::move(score),
                              Cell::of(to_text(formats.weight)),
                              Cell::of(to_text(formats.activation))});
      };
      for (const train::StepRow& row : run.record.history.steps)
        add("training", row.iteration, row.loss, Cell::none(), row.formats);
      for (const train::EvalRow& row : run.record.history.evaluations)
        add(row.split, row.iteration, row.loss, Cell::number(row.score, 6), row.formats);
    }
  }
  return table;
}

std::string settings_text(const train::StepRow& row) {
  std::string text;
  for (const auto& [name, value] : row.settings) text += concat(' ', name, ' ', value);
  return text;
}

/// A setting that follows a schedule, over the run.
Panel setting_panel(const Run& run, const std::string& heading, const std::string& name) {
  Drawing drawing(312, 150);
  const Frame frame{50, 292, 20, 116};
  const auto& rows = run.record.history.steps;
  const Curve curve =
      curve_of(rows, [&](const train::StepRow& row) { return number_of(row.settings, name); });
  Range range;
  for (const double value : curve.values) range.add(value);
  const Axis x =
      Axis::nice(0, static_cast<double>(run.planned_steps()), frame.left, frame.right, 4, 0);
  const Axis y = Axis::nice(range.empty() ? 0 : range.low, range.empty() ? 1 : range.high,
                            frame.bottom, frame.top, 4);
  draw_left_axis(drawing, y, frame.left, frame.right, "");
  draw_bottom_axis(drawing, x, frame.bottom, "");
  std::vector<double> xs, ys;
  for (std::size_t i = 0; i < curve.values.size(); ++i) {
    xs.push_back(x.at(curve.iterations[i]));
    ys.push_back(y.at(curve.values[i]));
  }
  drawing.path(
      line_path(xs, ys),
      {{"class", "line k2"}, {"fill", "none"}, {"stroke", palette()[2]}, {"stroke-width", "1.6"}});
  drawing.text(8, 12, name, {{"class", "title"}, {"fill", kMuted}, {"font-size", "10.5"}});
  return {heading, std::move(drawing), std::nullopt};
}

/// The course of bits and learning rate, as a text that is equal for runs that share it.
std::string course_of(const Run& run) {
  std::string key;
  for (const train::StepRow& row : run.record.history.steps)
    key += concat(formats_text(row.formats), ' ', row.learning_rate, settings_text(row), '\n');
  return key;
}

/// A row for each change of bits, `most` of them, and the last update.
void add_changes(const Run& run, const std::string& names, std::size_t most, Table& table) {
  const auto& rows = run.record.history.steps;
  std::size_t changes = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const train::StepRow& row = rows[i];
    const bool changed = i == 0 || rows[i - 1].formats != row.formats;
    changes += changed ? 1 : 0;
    if ((!changed || changes > most) && i + 1 < rows.size()) continue;
    table.rows.push_back({Cell::of(names), Cell::count(static_cast<double>(row.iteration)),
                          Cell::of(to_text(row.formats.weight)),
                          Cell::of(to_text(row.formats.activation)),
                          Cell::of(row.formats.gradient ? to_text(*row.formats.gradient) : ""),
                          Cell::number(row.learning_rate, 6)});
  }
  if (changes > most)
    table.rows.push_back({Cell::of(
        concat(names, ": ", changes - most, " further changes are in `ebb export --steps`"))});
}

Panel course_panel(const Run& run, const std::string& heading, double most_bits) {
  Drawing drawing(312, 150);
  const Frame frame{34, 276, 20, 116};
  Range rates;
  rates.add(0);
  for (const train::StepRow& row : run.record.history.steps) rates.add(row.learning_rate);
  const Axis x =
      Axis::nice(0, static_cast<double>(run.planned_steps()), frame.left, frame.right, 4, 0);
  const Axis bits = Axis::nice(0, most_bits, frame.bottom, frame.top, 4, 0);
  const Axis rate = Axis::nice(0, rates.high > 0 ? rates.high : 1, frame.bottom, frame.top, 1, 0);
  draw_left_axis(drawing, bits, frame.left, frame.right, "");
  draw_bottom_axis(drawing, x, frame.bottom, "");
  const auto draw = [&](const Curve& curve, const Axis& axis, bool steps,
                        Drawing::Attributes attributes) {
    std::vector<double> xs, ys;
    for (std::size_t i = 0; i < curve.values.size(); ++i) {
      xs.push_back(x.at(curve.iterations[i]));
      ys.push_back(axis.at(std::min(curve.values[i], axis.high)));
    }
    drawing.path(steps ? step_path(xs, ys) : line_path(xs, ys), attributes);
  };
  const auto& rows = run.record.history.steps;
  draw(curve_of(rows,
                [](const train::StepRow& row) {
                  return row.formats.gradient
                             ? static_cast<double>(cost_bits(*row.formats.gradient))
                             : 0.0;
                }),
       bits, true,
       {{"class", "line k1"},
        {"fill", "none"},
        {"stroke", palette()[1]},
        {"stroke-dasharray", "5 2.5"}});
  draw(curve_of(rows, weight_bits), bits, true,
       {{"class", "line k0"}, {"fill", "none"}, {"stroke", palette()[0]}, {"stroke-width", "1.6"}});
  draw(curve_of(rows, [](const train::StepRow& row) { return row.learning_rate; }), rate, false,
       {{"class", "line k2"},
        {"fill", "none"},
        {"stroke", palette()[2]},
        {"stroke-dasharray", "1.5 2.5"},
        {"stroke-width", "1.6"}});
  drawing.open_group({{"class", "title"}, {"fill", kMuted}, {"font-size", "10.5"}});
  drawing.text(8, 12, "bits", {});
  drawing.text(304, 12, "learning rate", {}, "end");
  drawing.text(frame.right + 4, rate.at(rates.high) + 4,
               to_text(std::round(rates.high * 1e9) / 1e9), {});
  drawing.text(frame.right + 4, frame.bottom + 4, "0", {});
  drawing.close_group();
  return {heading, std::move(drawing), std::nullopt};
}

}  // namespace

std::vector<Figure> curves_figures(const Comparison& comparison) {
  std::vector<Figure> figures;
  for (const std::string& measure : comparison.measures()) {
    std::vector<const Configuration*> all;
    for (const Configuration& each : comparison.configurations) {
      if (measure_of(each) == measure) all.push_back(&each);
    }
    const Scales scales = scales_of(comparison, measure);
    if (scales.loss.empty() || scales.score.empty()) continue;
    Figure figure{.name = "curves",
                  .title = concat("Loss and ", measure, " over training"),
                  .note =
                      "Above, the mean score over seeds: colour and dashes as in the first "
                      "figure, the thicker line has the higher width. Below, each run of a "
                      "configuration: training loss of every update, of which each interval "
                      "keeps its lowest and highest value, and score, over the bits of weights "
                      "(grey, right). All panels have the same scales."};
    figure.panels.push_back({"", overview(comparison, all, scales, 960, 350),
                             overview(comparison, all, scales, 372, 300)});
    for (const Configuration* each : all)
      figure.panels.push_back(configuration_panel(comparison, *each, scales));
    figure.values = shown_values(comparison, all);
    figure.all_values = [&comparison] { return all_curves(comparison); };
    figures.push_back(std::move(figure));
  }
  return figures;
}

std::vector<Figure> schedules_figures(const Comparison& comparison) {
  struct Course {
    const Run* run;
    std::vector<std::string> names;
  };
  std::vector<Course> courses;
  std::map<std::string, std::size_t> places;
  double most_bits = 1;
  for (const Configuration& each : comparison.configurations) {
    const Run& run = comparison.run(each.finished.empty() ? each.runs[0] : each.finished[0]);
    if (run.steps() == 0) continue;
    const auto place = places.emplace(course_of(run), courses.size());
    if (place.second) courses.push_back({&run, {}});
    courses[place.first->second].names.push_back(each.name);
    for (const train::StepRow& row : run.record.history.steps) {
      if (weight_bits(row) <= 16) most_bits = std::max(most_bits, weight_bits(row));
      if (row.formats.gradient && !row.formats.gradient->is_fp32())
        most_bits = std::max(most_bits, static_cast<double>(cost_bits(*row.formats.gradient)));
    }
  }
  if (courses.empty()) return {};
  Figure figure{.name = "schedules",
                .title = "Bits and learning rate over training",
                .note =
                    "Bits of weights (solid) and gradients (dashed), and the learning rate "
                    "(dotted, right), as they were recorded; beside them the other settings that "
                    "follow schedules. Float32 is drawn at the top. "
                    "Configurations that share a course share a panel."};
  figure.values.heading = {"configurations", "update",   "weight",
                           "activation",     "gradient", "learning rate"};
  for (const Course& course : courses) {
    const std::string names = join_words(course.names, "; ");
    figure.panels.push_back(course_panel(*course.run, names, most_bits));
    for (const auto& [name, value] : course.run->record.history.steps.front().settings) {
      if (name != "lr") figure.panels.push_back(setting_panel(*course.run, names, name));
    }
    add_changes(*course.run, names, 200, figure.values);  // as many as somebody might read
  }
  figure.all_values = [courses, heading = figure.values.heading] {
    Table table{heading};
    for (const Course& course : courses)
      add_changes(*course.run, join_words(course.names, "; "),
                  std::numeric_limits<std::size_t>::max(), table);
    return table;
  };
  return {std::move(figure)};
}

}  // namespace ebb::report
