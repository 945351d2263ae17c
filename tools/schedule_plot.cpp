#include "tools/schedule_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include "core/error.h"
#include "core/printable.h"
#include "schedules/schedule.h"
#include "tools/report/figures.h"
#include "train/files.h"

namespace ebb::tools {
namespace {

constexpr std::int64_t kMostPoints = 1 << 16;
constexpr std::string_view kMarks = "*o+x#@%&=~";

/// A schedule read at evenly spaced updates; what is no number is left out of the curve.
struct Course {
  std::string text;
  std::vector<double> updates, values;
};

Course course_of(const PlotOptions& options, const std::string& expression,
                 std::ostream& warnings) {
  const Schedule schedule = Schedule::parse(expression);
  const Totals totals{.updates = options.iterations};
  const Bound bound = schedule.bind(totals, {}, options.group.value_or("*"));
  for (const std::string& warning : bound.warnings())
    warnings << "ebb schedule: warning: " << schedule.text() << ": " << warning << '\n';
  Course course{.text = schedule.text(), .updates = {}, .values = {}};
  const std::int64_t points = std::min(options.iterations, kMostPoints);
  for (std::int64_t i = 0; i < points; ++i) {
    const std::int64_t t =
        points == 1
            ? 0
            : static_cast<std::int64_t>(static_cast<double>(options.iterations - 1) *
                                        static_cast<double>(i) / static_cast<double>(points - 1));
    const Value value = bound.value(t);
    course.updates.push_back(static_cast<double>(t));
    course.values.push_back(value.is_number() ? value.number : static_cast<double>(value.bits()));
  }
  return course;
}

report::Axis values_axis(const std::vector<Course>& courses, double from, double to, int ticks) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Course& course : courses) {
    for (const double value : course.values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  require<ConfigError>(low <= high, "[schedule] there is nothing to draw: no value is finite");
  return report::Axis::nice(low, high, from, to, ticks);
}

std::string svg_of(const std::vector<Course>& courses, std::int64_t iterations) {
  using report::Drawing;
  constexpr double kWidth = 760, kPlot = 360, kLegendLine = 19;
  std::vector<report::LegendEntry> legend;
  const auto colour = [](std::size_t i) { return report::palette()[i % report::palette().size()]; };
  for (std::size_t i = 0; i < courses.size(); ++i)
    legend.push_back(
        {courses[i].text, [&colour, i](Drawing& drawing, double x, double y) {
           drawing.line(x - 8, y, x + 8, y, {{"stroke", colour(i)}, {"stroke-width", "2"}});
         }});
  const double lines = report::legend_lines(legend, 60, kWidth - 10);
  Drawing drawing(kWidth, kPlot + kLegendLine * lines);
  const report::Axis x =
      report::Axis::nice(0, static_cast<double>(iterations), 60, kWidth - 20, 8, 0);
  const report::Axis y = values_axis(courses, kPlot - 50, 16, 6);
  report::draw_left_axis(drawing, y, 60, kWidth - 20, "");
  report::draw_bottom_axis(drawing, x, kPlot - 50, "updates");
  for (std::size_t i = 0; i < courses.size(); ++i) {
    std::vector<double> xs, ys;
    for (std::size_t k = 0; k < courses[i].values.size(); ++k) {
      xs.push_back(x.at(courses[i].updates[k]));
      ys.push_back(y.at(courses[i].values[k]));
    }
    drawing.path(report::line_path(xs, ys), {{"fill", "none"},
                                             {"stroke", colour(i)},
                                             {"stroke-width", "1.6"},
                                             {"stroke-linejoin", "round"}});
  }
  report::draw_legend(drawing, legend, 60, kWidth - 10, kPlot + 6);
  report::Figure figure{
      .name = "schedule", .title = "Schedules", .note = "Value by update, formats by their bits."};
  figure.panels.push_back({"", std::move(drawing), std::nullopt});
  return report::to_svg_file(figure);
}

std::string characters_of(const std::vector<Course>& courses, std::int64_t iterations) {
  constexpr std::size_t kColumns = 72, kRows = 18;
  const report::Axis y = values_axis(courses, kRows - 1, 0, 6);
  std::vector<std::string> rows(kRows, std::string(kColumns, ' '));
  for (std::size_t i = 0; i < courses.size(); ++i) {
    const Course& course = courses[i];
    for (std::size_t k = 0; k < course.values.size(); ++k) {
      if (!std::isfinite(course.values[k])) continue;
      const auto column =
          static_cast<std::size_t>(course.updates[k] * kColumns / static_cast<double>(iterations));
      rows[static_cast<std::size_t>(std::llround(y.at(course.values[k])))][column] =
          kMarks[i % kMarks.size()];
    }
  }
  std::vector<std::string> labels(kRows);
  std::size_t widest = 0;
  for (const double tick : y.ticks) {
    std::string& label = labels[static_cast<std::size_t>(std::llround(y.at(tick)))];
    label = y.label(tick);
    widest = std::max(widest, label.size());
  }
  std::string text;
  for (std::size_t row = 0; row < kRows; ++row)
    text += concat(std::string(widest - labels[row].size(), ' '), labels[row], " |",
                   rows[row].substr(0, rows[row].find_last_not_of(' ') + 1), '\n');
  const std::string last = to_text(iterations);
  text += concat(std::string(widest + 1, ' '), '+', std::string(kColumns, '-'), '\n',
                 std::string(widest + 2, ' '), '0', std::string(kColumns - 1 - last.size(), ' '),
                 last, '\n');
  for (std::size_t i = 0; i < courses.size(); ++i)
    text += concat(kMarks[i % kMarks.size()], "  ", printable(courses[i].text), '\n');
  return text;
}

}  // namespace

void plot_schedules(const PlotOptions& options, std::ostream& out, std::ostream& warnings) {
  require<ConfigError>(options.iterations >= 1, "[schedule] expected --iterations >= 1, got ",
                       options.iterations);
  require<ConfigError>(options.out.empty() || options.out.ends_with(".svg"),
                       "[schedule] expected -o FILE.svg, got '", options.out, "'");
  std::vector<Course> courses;
  for (const std::string& expression : options.expressions)
    courses.push_back(course_of(options, expression, warnings));
  if (!options.out.empty())
    return train::write_file(options.out, svg_of(courses, options.iterations));
  out << characters_of(courses, options.iterations) << std::flush;
  require<DataError>(static_cast<bool>(out),
                     "[schedule] cannot write the plot: is the disk full or the pipe closed?");
}

}  // namespace ebb::tools
