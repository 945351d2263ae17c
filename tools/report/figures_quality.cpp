#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/text.h"
#include "tools/report/figures.h"

namespace ebb::report {
namespace {

/// What a map shows, from harmless to bad: the bounds between its shades.
struct Measure {
  const char* name;
  double QualityRow::*value;
  bool high_is_good;
  std::array<double, 6> bounds;
  std::array<const char*, 7> texts;
};
constexpr std::array<Measure, 3> kMeasures{
    {{"at an end of the grid",
      &QualityRow::at_ends,
      false,
      {0.001, 0.003, 0.01, 0.03, 0.1, 0.3},
      {"< 0.1 %", "< 0.3 %", "< 1 %", "< 3 %", "< 10 %", "< 30 %", "30 % and more"}},
     {"coded as zero",
      &QualityRow::zeros,
      false,
      {0.01, 0.03, 0.1, 0.3, 0.5, 0.8},
      {"< 1 %", "< 3 %", "< 10 %", "< 30 %", "< 50 %", "< 80 %", "80 % and more"}},
     {"SQNR",
      &QualityRow::sqnr_db,
      true,
      {40, 30, 25, 20, 15, 10},
      {"> 40 dB", "> 30 dB", "> 25 dB", "> 20 dB", "> 15 dB", "> 10 dB", "10 dB and less"}}}};
const std::array<const char*, 7> kShades{"#edf1f5", "#cfdde9", "#a9c6dc", "#7da9c9",
                                         "#4f86ad", "#2b608a", "#123b5d"};

std::size_t shade_of(double value, const Measure& measure) {
  const auto worse = [&](double bound) {
    return measure.high_is_good ? value <= bound : value >= bound;
  };
  return static_cast<std::size_t>(std::ranges::count_if(measure.bounds, worse));
}

/// Operands by name, and for each interval of the run its worst value.
struct Map {
  std::vector<std::string> names;
  std::size_t columns = 0;
  std::vector<std::optional<double>> cells;  // names x columns
};

constexpr std::size_t kMostColumns = 40, kMostCells = 2400;

Map map_of(const Run& run, const Measure& measure) {
  Map map;
  std::map<std::string, std::size_t> places;
  std::map<std::int64_t, std::size_t> times;
  for (const QualityRow& row : run.operands) {
    const std::string name = concat(row.site, ' ', row.role);
    if (places.emplace(name, map.names.size()).second) map.names.push_back(name);
    times.emplace(row.iteration, 0);
  }
  const std::size_t fitting =
      std::max<std::size_t>(8, kMostCells / std::max<std::size_t>(1, map.names.size()));
  map.columns = std::min({times.size(), kMostColumns, fitting});
  std::size_t place = 0;
  for (auto& time : times) time.second = place++ * map.columns / times.size();
  map.cells.resize(map.names.size() * map.columns);
  for (const QualityRow& row : run.operands) {
    auto& cell =
        map.cells[places[concat(row.site, ' ', row.role)] * map.columns + times[row.iteration]];
    const double value = row.*measure.value;
    if (!cell || (measure.high_is_good ? value < *cell : value > *cell)) cell = value;
  }
  return map;
}

Panel map_panel(const Configuration& each, const Run& run, const Measure& measure) {
  constexpr double kRow = 12;
  const Map map = map_of(run, measure);
  double name_width = 0;
  for (const std::string& name : map.names) name_width = std::max(name_width, width_of(name, 10));
  const double left = 12 + std::min(name_width, 150.0), right = 306, top = 4;
  const double bottom = top + kRow * static_cast<double>(map.names.size());
  Drawing drawing(312, bottom + 64);
  const double width = (right - left) / static_cast<double>(std::max<std::size_t>(1, map.columns));
  std::array<std::string, 7> paths;
  for (std::size_t row = 0; row < map.names.size(); ++row) {
    const double y = top + kRow * static_cast<double>(row);
    for (std::size_t column = 0; column < map.columns;) {
      const auto& cell = map.cells[row * map.columns + column];
      std::size_t end = column + 1;
      if (!cell) {
        column = end;
        continue;
      }
      const std::size_t shade = shade_of(*cell, measure);
      for (; end < map.columns; ++end) {
        const auto& next = map.cells[row * map.columns + end];
        if (!next || shade_of(*next, measure) != shade) break;
      }
      const double span = width * static_cast<double>(end - column);
      paths[shade] +=
          concat('M', coordinate(left + width * static_cast<double>(column)), ' ', coordinate(y),
                 'h', coordinate(span), 'v', kRow - 1, 'h', coordinate(-span), 'z');
      column = end;
    }
  }
  drawing.open_group({{"class", "c"}, {"data-c", each.id}});
  drawing.open_group({{"class", "ink"}, {"fill", kInk}, {"font-size", "10"}});
  for (std::size_t row = 0; row < map.names.size(); ++row)
    drawing.text(left - 6, top + kRow * static_cast<double>(row) + 9, map.names[row], {}, "end");
  drawing.close_group();
  for (std::size_t shade = 0; shade < paths.size(); ++shade) {
    if (!paths[shade].empty())
      drawing.path(paths[shade], {{"class", concat("s", shade)}, {"fill", kShades[shade]}});
  }
  drawing.open_group({{"class", "muted"}, {"fill", kMuted}, {"font-size", "10"}});
  drawing.text(left, bottom + 14, "update 0", {});
  drawing.text(right, bottom + 14, to_text(run.operands.back().iteration), {}, "end");
  for (std::size_t shade = 0; shade < kShades.size(); ++shade) {
    const double x = 6 + 43 * static_cast<double>(shade);
    drawing.rectangle(x, bottom + 28, 41, 9,
                      {{"class", concat("s", shade)}, {"fill", kShades[shade]}},
                      measure.texts[shade]);
    if (shade > 0) {
      const double bound = measure.bounds[shade - 1] * (measure.high_is_good ? 1 : 100);
      drawing.text(x - 1, bottom + 50, to_text(std::round(bound * 10) / 10), {}, "middle");
    }
  }
  drawing.text(right, bottom + 50, measure.high_is_good ? "dB" : "%", {}, "end");
  drawing.close_group();
  drawing.close_group();
  return {concat(each.name, ": ", measure.name), std::move(drawing), std::nullopt};
}

std::vector<Cell> cells_of(const Configuration& each, const Run& run, const QualityRow& row) {
  return {Cell::of(each.name),
          Cell::of(run.name),
          Cell::of(row.site),
          Cell::of(row.role),
          Cell::count(static_cast<double>(row.iteration)),
          Cell::of(row.format),
          Cell::number(row.at_ends, 4),
          Cell::number(row.zeros, 4),
          Cell::number(row.sqnr_db, 2)};
}

}  // namespace

std::vector<Figure> quality_figures(const Comparison& comparison) {
  Figure figure{.name = "quality",
                .title = "What encoding did to the operands",
                .note =
                    "One run of each configuration that was measured (--statistics-every). A "
                    "row is an operand of a layer, a column a part of the run, and its shade "
                    "the worst value of that part: the share of codes at an end of the grid, "
                    "the share coded as zero, and the signal-to-quantization-noise ratio. "
                    "Dark is bad."};
  figure.values.heading = {"configuration", "operand", "worst share at ends",
                           "worst share of zeros", "lowest SQNR, dB"};
  std::vector<std::pair<const Configuration*, const Run*>> measured;
  for (const Configuration& each : comparison.configurations) {
    for (const std::size_t i : each.runs) {
      if (comparison.run(i).operands.empty()) continue;
      measured.emplace_back(&each, &comparison.run(i));
      break;
    }
  }
  if (measured.empty()) return {};
  for (const auto& [each, run] : measured) {
    for (const Measure& measure : kMeasures)
      figure.panels.push_back(map_panel(*each, *run, measure));
    std::vector<std::string> names;
    std::map<std::string, QualityRow> worst;
    for (const QualityRow& row : run->operands) {
      const std::string name = concat(row.site, ' ', row.role);
      const auto [entry, fresh] = worst.emplace(name, row);
      if (fresh) names.push_back(name);
      entry->second.at_ends = std::max(entry->second.at_ends, row.at_ends);
      entry->second.zeros = std::max(entry->second.zeros, row.zeros);
      entry->second.sqnr_db = std::min(entry->second.sqnr_db, row.sqnr_db);
    }
    for (const std::string& name : names) {
      const QualityRow& row = worst.at(name);
      figure.values.rows.push_back({Cell::of(each->name), Cell::of(name),
                                    Cell::number(row.at_ends, 4), Cell::number(row.zeros, 4),
                                    Cell::number(row.sqnr_db, 2)});
    }
  }
  figure.all_values = [measured] {
    Table table{{"configuration", "run", "site", "role", "iteration", "format", "at_ends", "zeros",
                 "sqnr_db"}};
    for (const auto& [each, run] : measured) {
      for (const QualityRow& row : run->operands) table.rows.push_back(cells_of(*each, *run, row));
    }
    return table;
  };
  return {std::move(figure)};
}

}  // namespace ebb::report
