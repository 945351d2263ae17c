#include <algorithm>
#include <map>

#include "core/text.h"
#include "tools/report/figures.h"
#include "tools/report/heat.h"

namespace ebb::report {
namespace {

/// What the maps show, in this order.
struct Measure {
  Scale scale;
  double QualityRow::*value;
};
constexpr Measure kMeasures[] = {
    {{"at an end of the grid", "%", false, {0.001, 0.003, 0.01, 0.03, 0.1, 0.3}},
     &QualityRow::at_ends},
    {{"coded as zero", "%", false, {0.01, 0.03, 0.1, 0.3, 0.5, 0.8}}, &QualityRow::zeros},
    {{"SQNR", "dB", true, {40, 30, 25, 20, 15, 10}}, &QualityRow::sqnr_db}};

constexpr std::size_t kMostColumns = 40, kMostCells = 2400;

/// Operands by name, and for each interval of the run its worst value.
Map map_of(const Run& run, const Measure& measure) {
  Map map;
  std::map<std::int64_t, std::size_t> times;
  std::vector<std::size_t> rows;
  for (const QualityRow& row : run.operands) {
    rows.push_back(Map::place_of(map.names, concat(row.site, ' ', row.role)));
    times.emplace(row.iteration, 0);
  }
  const std::size_t fitting =
      std::max<std::size_t>(8, kMostCells / std::max<std::size_t>(1, map.names.size()));
  map.columns.resize(std::min({times.size(), kMostColumns, fitting}));
  std::size_t place = 0;
  for (auto& time : times) time.second = place++ * map.columns.size() / times.size();
  for (std::size_t i = 0; i < run.operands.size(); ++i) {
    const QualityRow& row = run.operands[i];
    map.add(rows[i], times[row.iteration], row.*measure.value, measure.scale);
  }
  return map;
}

Panel map_panel(const Configuration& each, const Run& run, const Measure& measure) {
  return {concat(each.name, ": ", measure.scale.name),
          draw_map(each.id, map_of(run, measure), measure.scale, "update 0",
                   to_text(run.operands.back().iteration)),
          std::nullopt};
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
                    "Legends run from harmless to bad."};
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
