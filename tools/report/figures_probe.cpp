#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "core/text.h"
#include "tools/report/figures.h"
#include "tools/report/heat.h"

namespace ebb::report {
namespace {

/// What the maps show, in this order.
struct Measure {
  Scale scale;
  double ProbeRow::*value;
  bool of_sums;
};
constexpr Measure kMeasures[] = {
    {{"SQNR", "dB", true, {40, 30, 25, 20, 15, 10}}, &ProbeRow::sqnr_db, false},
    {{"at an end of the grid", "%", false, {0.001, 0.003, 0.01, 0.03, 0.1, 0.3}},
     &ProbeRow::at_ends,
     false},
    {{"underflow to zero", "%", false, {0.01, 0.03, 0.1, 0.3, 0.5, 0.8}},
     &ProbeRow::underflow,
     false},
    {{"bits of exact sums", "bits", false, {12, 16, 20, 24, 28, 32}}, &ProbeRow::sum_bits, true}};

std::string name_of(const ProbeRow& row) { return concat(row.site, ' ', row.what); }

Panel map_panel(const Configuration& each, const Run& run, const Measure& measure) {
  Map map;
  for (const ProbeRow& row : run.probe) {
    if (row.of_sums != measure.of_sums) continue;
    Map::place_of(map.names, name_of(row));
    Map::place_of(map.columns, row.format);
  }
  for (const ProbeRow& row : run.probe) {
    if (row.of_sums == measure.of_sums)
      map.add(Map::place_of(map.names, name_of(row)), Map::place_of(map.columns, row.format),
              row.*measure.value, measure.scale);
  }
  return {concat(each.name, ": ", measure.scale.name), draw_map(each.id, map, measure.scale),
          std::nullopt};
}

std::string overflow_text(const ProbeRow& row) {
  std::vector<std::string> parts;
  for (const auto& [accumulator, events] : row.overflows)
    parts.push_back(concat(accumulator, ' ', events));
  return join_words(parts);
}

/// The worst of each operand and product in each format, in the order of the record.
Table worst_values(const std::vector<std::pair<const Configuration*, const Run*>>& probed) {
  Table table{{"configuration", "operand or product", "format", "lowest SQNR, dB",
               "worst share at ends", "worst underflow", "bits of sums"}};
  for (const auto& [each, run] : probed) {
    std::map<std::pair<std::string, std::string>, ProbeRow> worst;
    std::vector<std::pair<std::string, std::string>> order;
    for (const ProbeRow& row : run->probe) {
      const std::pair key(name_of(row), row.format);
      const auto [entry, fresh] = worst.emplace(key, row);
      if (fresh) order.push_back(key);
      ProbeRow& kept = entry->second;
      kept.sqnr_db = std::min(kept.sqnr_db, row.sqnr_db);
      kept.at_ends = std::max(kept.at_ends, row.at_ends);
      kept.underflow = std::max(kept.underflow, row.underflow);
      kept.sum_bits = std::max(kept.sum_bits, row.sum_bits);
    }
    for (const auto& key : order) {
      const ProbeRow& row = worst.at(key);
      const auto operand = [&](double value, int decimals) {
        return row.of_sums ? Cell::none() : Cell::number(value, decimals);
      };
      table.rows.push_back({Cell::of(each->name), Cell::of(key.first), Cell::of(key.second),
                            operand(row.sqnr_db, 2), operand(row.at_ends, 4),
                            operand(row.underflow, 4),
                            row.of_sums ? Cell::count(row.sum_bits) : Cell::none()});
    }
  }
  return table;
}

Table all_rows(const std::vector<std::pair<const Configuration*, const Run*>>& probed) {
  Table table{{"configuration", "run", "iteration", "site", "role", "product", "format", "at_ends",
               "zeros", "underflow", "sqnr_db", "sums", "sum_bits", "overflows"}};
  for (const auto& [each, run] : probed) {
    for (const ProbeRow& row : run->probe) {
      const auto operand = [&](double value) {
        return row.of_sums ? Cell::none() : Cell::number(value, 4);
      };
      const auto sums = [&](double value) {
        return row.of_sums ? Cell::count(value) : Cell::none();
      };
      table.rows.push_back(
          {Cell::of(each->name), Cell::of(run->name),
           Cell::count(static_cast<double>(row.iteration)), Cell::of(row.site),
           Cell::of(row.of_sums ? "" : row.what), Cell::of(row.of_sums ? row.what : ""),
           Cell::of(row.format), operand(row.at_ends), operand(row.zeros), operand(row.underflow),
           operand(row.sqnr_db), sums(row.sums), sums(row.sum_bits), Cell::of(overflow_text(row))});
    }
  }
  return table;
}

}  // namespace

std::vector<Figure> probe_figures(const Comparison& comparison) {
  std::vector<std::pair<const Configuration*, const Run*>> probed;
  for (const Configuration& each : comparison.configurations) {
    const auto with = std::ranges::find_if(
        each.runs, [&](std::size_t i) { return !comparison.run(i).probe.empty(); });
    if (with != each.runs.end()) probed.emplace_back(&each, &comparison.run(*with));
  }
  if (probed.empty()) return {};
  Figure figure{
      .name = "probe",
      .title = "What other formats would have done",
      .note =
          "One run of each configuration that was probed (--probe), which trained in its own "
          "formats. A row is an operand of a layer or one of its products, a column a format, "
          "and the value the worst of the run: the signal-to-quantization-noise ratio, the "
          "share of codes at an end of the grid, the share of elements rounded to zero, and "
          "the bits that hold every sum of code products. Legends run from harmless to bad."};
  for (const auto& [each, run] : probed) {
    for (const Measure& measure : kMeasures) {
      const bool any = std::ranges::any_of(
          run->probe, [&](const ProbeRow& row) { return row.of_sums == measure.of_sums; });
      if (any) figure.panels.push_back(map_panel(*each, *run, measure));
    }
  }
  figure.values = worst_values(probed);
  figure.all_values = [probed] { return all_rows(probed); };
  return {std::move(figure)};
}

}  // namespace ebb::report
