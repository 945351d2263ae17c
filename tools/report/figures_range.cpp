#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/text.h"
#include "tools/report/figures.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

/// A test and what it is drawn with.
struct Tested {
  const Run* run;
  std::string configuration;
  RangeTest test;
  [[nodiscard]] double factor() const { return test.of_accuracy ? 100 : 1; }
  [[nodiscard]] int decimals() const { return test.of_accuracy ? 2 : 4; }
  [[nodiscard]] double score(const train::StepRow& row) const {
    return factor() * (test.of_accuracy ? row.accuracy.value_or(0) : row.loss);
  }
  [[nodiscard]] double first_update(std::int64_t bits) const {
    return static_cast<double>((bits - test.settings.low) * test.settings.updates);
  }
};

std::vector<Tested> tests_of(const Comparison& comparison) {
  std::vector<Tested> tests;
  for (const Configuration& each : comparison.configurations) {
    for (const std::size_t i : each.runs) {
      const Run& run = comparison.run(i);
      if (!run.range) continue;
      tests.push_back({&run, each.id, judge_range(run.record.history, *run.range)});
    }
  }
  return tests;
}

std::string outcome(const RangeTest& test) {
  if (test.found) return concat(*test.found, " bits");
  return test.complete() ? "no width gains enough" : "not finished";
}

struct Frame {
  double left, right, top, bottom;
};

/// A band for each width, the one found shaded.
void draw_widths(Drawing& drawing, const Tested& tested, const Axis& x, const Frame& frame) {
  const RangeSettings& settings = tested.test.settings;
  for (std::int64_t bits = settings.low; bits <= settings.high; ++bits) {
    const double begin = x.at(tested.first_update(bits)), end = x.at(tested.first_update(bits + 1));
    if (bits == tested.test.found)
      drawing.rectangle(begin, frame.top, end - begin, frame.bottom - frame.top,
                        {{"class", "bits"}, {"fill", kFaint}, {"fill-opacity", "0.6"}});
    if (bits > settings.low)
      drawing.line(begin, frame.top, begin, frame.bottom, {{"class", "grid"}, {"stroke", kFaint}});
    drawing.text((begin + end) / 2, frame.top - 5, to_text(bits),
                 {{"class", "axis"}, {"fill", kMuted}, {"font-size", "11"}}, "middle");
  }
}

/// The score of every update, and the mean over the window of each width.
void draw_scores(Drawing& drawing, const Tested& tested, const Axis& x, const Axis& y) {
  std::vector<double> all, xs, ys;
  for (const train::StepRow& row : tested.run->record.history.steps)
    all.push_back(tested.score(row));
  for (const std::size_t i : extremes(all, 200)) {
    xs.push_back(x.at(static_cast<double>(i)));
    ys.push_back(y.at(all[i]));
  }
  drawing.path(line_path(xs, ys), {{"class", "line k0"},
                                   {"fill", "none"},
                                   {"stroke", palette()[0]},
                                   {"stroke-opacity", "0.45"},
                                   {"stroke-linejoin", "round"}});
  const auto mean = [&](double begin, double score) {
    const double at = y.at(score * tested.factor());
    drawing.line(x.at(begin), at, x.at(begin + static_cast<double>(tested.test.settings.window)),
                 at, {{"class", "line k1"}, {"stroke", palette()[1]}, {"stroke-width", "3"}});
  };
  if (tested.test.base) mean(0, *tested.test.base);
  for (const RangeWidth& width : tested.test.widths)
    mean(tested.first_update(width.bits + 1) - static_cast<double>(tested.test.settings.window),
         width.score);
}

void draw_gains(Drawing& drawing, const Tested& tested, const Axis& x, const Frame& frame) {
  double low = 0, high = tested.test.threshold;
  for (const RangeWidth& width : tested.test.widths) {
    low = std::min(low, width.gain);
    high = std::max(high, width.gain);
  }
  const Axis y =
      Axis::nice(low * tested.factor(), high * tested.factor(), frame.bottom, frame.top, 3);
  draw_left_axis(drawing, y, frame.left, frame.right, "");
  const double zero = y.at(0);
  for (const RangeWidth& width : tested.test.widths) {
    const double begin = x.at(tested.first_update(width.bits)),
                 end = x.at(tested.first_update(width.bits + 1)),
                 at = y.at(width.gain * tested.factor());
    drawing.rectangle(begin + 0.2 * (end - begin), std::min(at, zero), 0.6 * (end - begin),
                      std::abs(at - zero), {{"class", "part k1"}, {"fill", palette()[1]}},
                      concat(width.bits, " bits: ",
                             train::format_fixed(width.gain * tested.factor(), tested.decimals())));
  }
  const double threshold = y.at(tested.test.threshold * tested.factor());
  drawing.line(frame.left, threshold, frame.right, threshold,
               {{"class", "front"}, {"stroke", kMuted}, {"stroke-dasharray", "4 3"}});
}

Drawing draw(const Tested& tested, double width, double height) {
  Drawing drawing(width, height);
  const double middle = 40 + 0.58 * (height - 110);
  const Frame top{46, width - 22, 36, middle}, low{46, width - 22, middle + 30, height - 46};
  const RangeTest& test = tested.test;
  const Axis x = Axis::nice(0, tested.first_update(test.settings.high + 1), top.left, top.right,
                            width < 500 ? 4 : 8, 0);
  double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
  for (const train::StepRow& row : tested.run->record.history.steps) {
    lowest = std::min(lowest, tested.score(row));
    highest = std::max(highest, tested.score(row));
  }
  const Axis y = Axis::nice(lowest, highest, top.bottom, top.top, 4);
  drawing.open_group({{"class", "c"}, {"data-c", tested.configuration}});
  draw_widths(drawing, tested, x, top);
  draw_left_axis(drawing, y, top.left, top.right, "");
  draw_scores(drawing, tested, x, y);
  draw_gains(drawing, tested, x, low);
  draw_bottom_axis(drawing, x, low.bottom, width < 330 ? "" : "updates");
  drawing.open_group({{"class", "title"}, {"fill", kMuted}, {"font-size", "10.5"}});
  drawing.text(6, 12, test.of_accuracy ? "training accuracy, %" : "training loss", {});
  drawing.text(top.right, 12, "bits of the updates below", {}, "end");
  drawing.text(6, low.top - 9,
               concat(test.of_accuracy ? "gain, points" : "drop of the loss", "; threshold ",
                      train::format_short(test.threshold * tested.factor())),
               {});
  drawing.close_group();
  drawing.close_group();
  return drawing;
}

void add_values(const Tested& tested, Table& table) {
  const RangeSettings& settings = tested.test.settings;
  const auto add = [&](const std::string& bits, double first, double score, Cell gain,
                       const std::string& found) {
    table.rows.push_back({Cell::of(tested.run->name), Cell::of(bits), Cell::count(first),
                          Cell::count(static_cast<double>(settings.window)),
                          Cell::of(tested.test.of_accuracy ? "accuracy" : "loss"),
                          Cell::number(score, 4), std::move(gain),
                          Cell::number(tested.test.threshold, 4), Cell::of(found)});
  };
  if (tested.test.base) add("begin", 0, *tested.test.base, Cell::none(), "");
  for (const RangeWidth& width : tested.test.widths)
    add(to_text(width.bits),
        tested.first_update(width.bits + 1) - static_cast<double>(settings.window), width.score,
        Cell::number(width.gain, 4), width.bits == tested.test.found ? "yes" : "");
}

}  // namespace

std::vector<Figure> range_figures(const Comparison& comparison) {
  const std::vector<Tested> tests = tests_of(comparison);
  if (tests.empty()) return {};
  Figure figure{.name = "range",
                .title = "Precision range test",
                .note =
                    "One run whose bits step up. Above, the training score of every update "
                    "and, thick, its mean over the window of each width; below, the gain of "
                    "each width over the one before, the first over the beginning of training. "
                    "The lowest width to train at is the first whose gain exceeds the "
                    "threshold (dashed): it is shaded."};
  figure.values.heading = {"run",  "bits", "first update", "updates", "measure",
                           "mean", "gain", "threshold",    "found"};
  for (const Tested& tested : tests) {
    const std::string heading = concat(tested.run->name, ": ", outcome(tested.test));
    if (tests.size() == 1)
      figure.panels.push_back({"", draw(tested, 860, 380), draw(tested, 372, 340)});
    else
      figure.panels.push_back({heading, draw(tested, 312, 290), std::nullopt});
    add_values(tested, figure.values);
  }
  if (tests.size() == 1) figure.title += concat(": ", outcome(tests[0].test));
  return {std::move(figure)};
}

}  // namespace ebb::report
