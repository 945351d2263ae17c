#include "tools/report/figures.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"

namespace ebb::report {
namespace {

constexpr double kLegendLine = 19, kLegendText = 11.5;

double width_of_entry(const LegendEntry& entry) { return 34 + width_of(entry.text, kLegendText); }

/// Calls place(entry, x, line) for each, line after line.
template <class Place>
int lay_out(std::span<const LegendEntry> entries, double left, double right, const Place& place) {
  double x = left;
  int line = 0;
  for (const LegendEntry& entry : entries) {
    const double width = width_of_entry(entry);
    if (x > left && x + width > right) {
      x = left;
      ++line;
    }
    place(entry, x, line);
    x += width;
  }
  return entries.empty() ? 0 : line + 1;
}

constexpr FigureKind kKinds[] = {
    {"pareto", pareto_figures},
    {"curves", curves_figures},
    {"schedules", schedules_figures},
    {"cost", cost_figures},
    {"range", range_figures, "a run of ebb range-test"},
    {"periods", periods_figures, "runs with a deficit or a window, and one without"},
    {"quality", quality_figures, "--statistics-every"},
    {"probe", probe_figures, "--probe"}};

}  // namespace

std::span<const FigureKind> figure_kinds() { return kKinds; }

std::string line_path(std::span<const double> x, std::span<const double> y) {
  std::string d;
  bool pen_up = true;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(y[i])) {
      pen_up = true;
      continue;
    }
    d += concat(pen_up ? 'M' : 'L', coordinate(x[i]), ' ', coordinate(y[i]));
    pen_up = false;
  }
  return d;
}

std::string step_path(std::span<const double> x, std::span<const double> y) {
  std::string d;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i == 0)
      d += concat('M', coordinate(x[i]), ' ', coordinate(y[i]));
    else if (y[i] != y[i - 1])
      d += concat('H', coordinate(x[i]), 'V', coordinate(y[i]));
  }
  return x.empty() ? d : concat(d, 'H', coordinate(x.back()));
}

double draw_legend(Drawing& drawing, std::span<const LegendEntry> entries, double left,
                   double right, double y) {
  drawing.open_group({{"class", "legend"}, {"fill", kInk}, {"font-size", "11.5"}});
  const int lines =
      lay_out(entries, left, right, [&](const LegendEntry& entry, double x, int line) {
        const double middle = y + kLegendLine * line;
        if (!entry.configuration.empty())
          drawing.open_group({{"class", "c"}, {"data-c", entry.configuration}});
        entry.draw(drawing, x + 8, middle);
        drawing.text(x + 21, middle + 4, entry.text, {});
        if (!entry.configuration.empty()) drawing.close_group();
      });
  drawing.close_group();
  return y + kLegendLine * lines;
}

int legend_lines(std::span<const LegendEntry> entries, double left, double right) {
  return lay_out(entries, left, right, [](const LegendEntry&, double, int) {});
}

std::string to_svg_file(const Figure& figure) {
  constexpr double kGap = 18, kHeading = 20, kMostWidth = 980;
  const double panel_width = std::ranges::max(figure.panels, {}, [](const Panel& p) {
                               return p.drawing.width();
                             }).drawing.width();
  const auto columns = std::max<std::size_t>(
      1, std::min(figure.panels.size(),
                  static_cast<std::size_t>((kMostWidth + kGap) / (panel_width + kGap))));
  std::string body;
  double y = 0, row_height = 0;
  for (std::size_t i = 0; i < figure.panels.size(); ++i) {
    const Panel& panel = figure.panels[i];
    if (i > 0 && i % columns == 0) {
      y += row_height + kGap;
      row_height = 0;
    }
    const double x = static_cast<double>(i % columns) * (panel_width + kGap);
    const double heading = panel.heading.empty() ? 0 : kHeading;
    if (heading > 0)
      body += concat("<text x=\"", coordinate(x), "\" y=\"", coordinate(y + 13),
                     "\" font-size=\"12.5\" font-weight=\"600\" fill=\"", kInk, "\">",
                     escaped(panel.heading), "</text>\n");
    body += concat("<svg x=\"", coordinate(x), "\" y=\"", coordinate(y + heading), "\" width=\"",
                   coordinate(panel.drawing.width()), "\" height=\"",
                   coordinate(panel.drawing.height()), "\">", panel.drawing.body(), "</svg>\n");
    row_height = std::max(row_height, heading + panel.drawing.height());
  }
  const double width =
      static_cast<double>(columns) * panel_width + kGap * static_cast<double>(columns - 1);
  const std::string size = concat(coordinate(width), "\" height=\"", coordinate(y + row_height));
  return concat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"",
      size, "\" viewBox=\"0 0 ", coordinate(width), ' ', coordinate(y + row_height),
      "\" font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n<title>",
      escaped(figure.title), "</title>\n<desc>", escaped(figure.note),
      "</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"", kPaper, "\"/>\n", body, "</svg>\n");
}

}  // namespace ebb::report
