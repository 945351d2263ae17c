#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/report/comparison.h"
#include "tools/report/svg.h"
#include "tools/report/table.h"

namespace ebb::report {

struct Panel {
  std::string heading;  ///< "" where the figure's title says it
  Drawing drawing;
  std::optional<Drawing> narrow{};  ///< for small screens, if it has to differ
};

struct Figure {
  std::string name, title, note;  ///< the note says what is drawn, and how
  std::vector<Panel> panels{};
  Table values{};                       ///< that stand behind it
  std::function<Table()> all_values{};  ///< of its CSV; none: `values`
};

/// A figure that --figure and the page draw: one per measure, or none where the runs have no data
/// for it.
struct FigureKind {
  const char* name;
  std::vector<Figure> (*draw)(const Comparison& comparison);
  const char* needs = "";  ///< what runs must have for it, if not all have it
};
std::span<const FigureKind> figure_kinds();

/// Score against relative cost: one figure per measure.
std::vector<Figure> pareto_figures(const Comparison& comparison);
/// Loss and score over training, with bits behind them.
std::vector<Figure> curves_figures(const Comparison& comparison);
/// Bits and learning rate over training, each course once.
std::vector<Figure> schedules_figures(const Comparison& comparison);
/// Bit-operations by configuration, layer and product.
std::vector<Figure> cost_figures(const Comparison& comparison);
/// What encoding did to operands, as maps of layer and time.
std::vector<Figure> quality_figures(const Comparison& comparison);
/// What formats of a probe would have done, as maps of layer and format.
std::vector<Figure> probe_figures(const Comparison& comparison);
/// Precision range tests: score and gain by width, one figure each.
std::vector<Figure> range_figures(const Comparison& comparison);
/// Critical learning periods: score against the length of a deficit, and the start of a window.
std::vector<Figure> periods_figures(const Comparison& comparison);

/// All panels of a figure as one file.
std::string to_svg_file(const Figure& figure);

// For those that draw.

/// A line through points; a value that is no number breaks it.
std::string line_path(std::span<const double> x, std::span<const double> y);
/// The same for values that hold until the next one.
std::string step_path(std::span<const double> x, std::span<const double> y);
struct LegendEntry {
  std::string text;
  std::function<void(Drawing& drawing, double x, double y)> draw;
  std::string configuration{};  ///< its id, if it is one's
};
/// Entries from (x, y) on, wrapped at `right`. @returns the lowest line
double draw_legend(Drawing& drawing, std::span<const LegendEntry> entries, double left,
                   double right, double y);
/// How many lines that takes.
int legend_lines(std::span<const LegendEntry> entries, double left, double right);

}  // namespace ebb::report
