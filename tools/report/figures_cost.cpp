#include <algorithm>
#include <array>
#include <cmath>

#include "core/text.h"
#include "quant/ledger.h"
#include "tools/report/figures.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

constexpr double kRow = 17, kBar = 11;

/// What a product is of, and its colour in the palette.
struct ProductLook {
  Product product;
  const char* text;
  std::size_t colour;
};
constexpr std::array<ProductLook, kProducts> kLooks{
    {{Product::forward, "forward: weights × activations", 0},
     {Product::grad_left, "input gradient: gradients × weights", 1},
     {Product::grad_right, "weight gradient: gradients × activations", 2},
     {Product::aggregate, "sums over neighbours", 3},
     {Product::aggregate_grad, "their gradient", 5}}};

/// Bit-operations of one configuration, of its first finished run: seeds cost alike, apart from
/// graphs that are sampled.
struct Costs {
  const Configuration* owner;
  const CostLedger* ledger;
  double total;
};
std::vector<Costs> costs_of(const Comparison& comparison) {
  std::vector<Costs> all;
  for (const Configuration& each : comparison.configurations) {
    const Run& run = comparison.run(each.finished.empty() ? each.runs[0] : each.finished[0]);
    const double total = static_cast<double>(run.record.ledger.total_bit_ops());
    if (total > 0) all.push_back({&each, &run.record.ledger, total});
  }
  return all;
}

double bit_ops(const CostLedger::Row& row, Product product) {
  return static_cast<double>(row.cells[static_cast<std::size_t>(product)].bit_ops);
}
double bit_ops(const CostLedger::Row& row) {
  double total = 0;
  for (const Product product : kAllProducts) total += bit_ops(row, product);
  return total;
}
double bit_ops(const CostLedger& ledger, Product product) {
  double total = 0;
  for (const CostLedger::Row& row : ledger.rows()) total += bit_ops(row, product);
  return total;
}

std::string si(double value) {
  constexpr std::array prefixes{"", " k", " M", " G", " T", " P", " E"};
  std::size_t prefix = 0;
  for (; value >= 1000 && prefix + 1 < prefixes.size(); value /= 1000) ++prefix;
  return train::format_fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0) + prefixes[prefix];
}

/// A bar of parts by product.
template <class Part>
void draw_bar(Drawing& drawing, double left, double y, double pixels_per_unit, const Part& part) {
  double x = left;
  for (const ProductLook& look : kLooks) {
    const double value = part(look.product);
    if (value <= 0) continue;
    const double width = value * pixels_per_unit;
    drawing.rectangle(x, y - kBar / 2, std::max(0.3, width - 0.7), kBar,
                      {{"class", concat("part k", look.colour)},
                       {"fill", palette()[look.colour]},
                       {"fill-opacity", "0.85"}},
                      concat(look.text, ": ", si(value), "bit-operations"));
    x += width;
  }
}

std::vector<LegendEntry> legend_of(const std::vector<Costs>& all) {
  std::vector<LegendEntry> entries;
  for (const ProductLook& look : kLooks) {
    const bool any = std::ranges::any_of(
        all, [&](const Costs& costs) { return bit_ops(*costs.ledger, look.product) > 0; });
    if (!any) continue;
    entries.push_back({look.text, [look](Drawing& drawing, double x, double y) {
                         drawing.rectangle(x - 6, y - 5, 12, 10,
                                           {{"class", concat("part k", look.colour)},
                                            {"fill", palette()[look.colour]},
                                            {"fill-opacity", "0.85"}});
                       }});
  }
  return entries;
}

/// One bar a configuration. Costs several times those of all others are cut, and say so.
Drawing totals(const std::vector<Costs>& all, double width) {
  double name_width = 0, most = 0;
  std::vector<double> sorted;
  for (const Costs& costs : all) {
    name_width = std::max(name_width, width_of(costs.owner->name, 11.5));
    sorted.push_back(costs.total);
  }
  std::ranges::sort(sorted);
  most = sorted.back();
  for (std::size_t i = 1; i + 1 < sorted.size(); ++i) {
    if (sorted[i + 1] > 2.5 * sorted[i]) {
      most = sorted[i];
      break;
    }
  }
  const double left = 16 + std::min(name_width, 0.4 * width), right = width - 64;
  const std::vector<LegendEntry> legend = legend_of(all);
  const double legend_top = 14, top = legend_top + 19.0 * legend_lines(legend, 8, width - 8) + 8;
  Drawing drawing(width, top + kRow * static_cast<double>(all.size()) + 8);
  draw_legend(drawing, legend, 8, width - 8, legend_top);
  double y = top + kRow / 2;
  for (const Costs& costs : all) {
    const double scale = (right - left) / std::max(most, 1.0);
    const bool cut = costs.total > most;
    drawing.open_group({{"class", "c"}, {"data-c", costs.owner->id}});
    drawing.text(left - 8, y + 4, costs.owner->name,
                 {{"fill", kInk}, {"class", "ink"}, {"font-size", "11.5"}}, "end");
    const double own_scale = cut ? (right - left) / costs.total : scale;
    draw_bar(drawing, left, y, own_scale,
             [&](Product product) { return bit_ops(*costs.ledger, product); });
    if (cut)
      for (const double shift : {-4.0, 1.0})
        drawing.line(right - 22 + shift, y + 8, right - 16 + shift, y - 8,
                     {{"class", "paper"}, {"stroke", kPaper}, {"stroke-width", "2"}});
    drawing.text(cut ? right + 5 : left + costs.total * scale + 5, y + 4, si(costs.total),
                 {{"fill", kMuted}, {"class", "muted"}, {"font-size", "11"}});
    drawing.close_group();
    y += kRow;
  }
  return drawing;
}

/// One bar per layer, the dearest first where there are many.
Panel layers_panel(const Costs& costs, const std::string& heading) {
  constexpr std::size_t kMostLayers = 30;
  std::vector<const CostLedger::Row*> rows;
  for (const CostLedger::Row& row : costs.ledger->rows()) rows.push_back(&row);
  const std::size_t left_out = rows.size() > kMostLayers ? rows.size() - kMostLayers : 0;
  if (left_out > 0) {
    std::ranges::stable_sort(rows, std::greater(), [](const auto* row) { return bit_ops(*row); });
    rows.resize(kMostLayers);
  }
  double most = 0, name_width = 0;
  for (const CostLedger::Row* row : rows) {
    most = std::max(most, bit_ops(*row));
    name_width = std::max(name_width, width_of(row->site.name, 11));
  }
  const double left = 12 + std::min(name_width, 110.0), right = 312 - 46;
  Drawing drawing(312, 8 + kRow * static_cast<double>(rows.size() + (left_out > 0 ? 1 : 0)) + 4);
  double y = 8 + kRow / 2;
  drawing.open_group({{"class", "c"}, {"data-c", costs.owner->id}});
  for (const CostLedger::Row* row : rows) {
    const double scale = (right - left) / std::max(most, 1.0), value = bit_ops(*row);
    drawing.text(left - 7, y + 4, row->site.name,
                 {{"fill", kInk}, {"class", "ink"}, {"font-size", "11"}}, "end");
    draw_bar(drawing, left, y, scale, [&](Product product) { return bit_ops(*row, product); });
    drawing.text(left + value * scale + 5, y + 4,
                 concat(train::format_fixed(100 * value / costs.total, 1), " %"),
                 {{"fill", kMuted}, {"class", "muted"}, {"font-size", "10.5"}});
    y += kRow;
  }
  if (left_out > 0)
    drawing.text(left, y + 4, concat("and ", left_out, " layers that cost less"),
                 {{"fill", kMuted}, {"class", "muted"}, {"font-size", "11"}});
  drawing.close_group();
  return {heading, std::move(drawing), std::nullopt};
}

/// Whether layers take the same shares of the whole, within half a percent of it.
bool same_shares(const Costs& a, const Costs& b) {
  const auto &rows = a.ledger->rows(), &others = b.ledger->rows();
  if (rows.size() != others.size()) return false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].site.name != others[i].site.name ||
        std::abs(bit_ops(rows[i]) / a.total - bit_ops(others[i]) / b.total) > 0.005)
      return false;
  }
  return true;
}

}  // namespace

std::vector<Figure> cost_figures(const Comparison& comparison) {
  const std::vector<Costs> all = costs_of(comparison);
  if (all.empty()) return {};
  Figure figure{.name = "cost",
                .title = "Where the bit-operations went",
                .note =
                    "Bit-operations of training by product, for each configuration, then by "
                    "layer with its share of the whole. Configurations whose layers share "
                    "alike, within half a percent of the whole, are shown once."};
  figure.panels.push_back({"", totals(all, 960), totals(all, 372)});
  std::vector<std::pair<const Costs*, std::vector<std::string>>> groups;
  for (const Costs& costs : all) {
    const auto same = std::ranges::find_if(
        groups, [&](const auto& group) { return same_shares(*group.first, costs); });
    if (same == groups.end())
      groups.push_back({&costs, {costs.owner->name}});
    else
      same->second.push_back(costs.owner->name);
  }
  for (const auto& [costs, names] : groups)
    figure.panels.push_back(
        layers_panel(*costs, names.size() == all.size() && all.size() > 1
                                 ? concat("every configuration, drawn: ", names[0])
                                 : join_words(names, "; ")));
  figure.values.heading = {"configuration", "layer"};
  for (const Product product : kAllProducts) figure.values.heading.push_back(to_text(product));
  for (const Costs& costs : all) {
    for (const CostLedger::Row& row : costs.ledger->rows()) {
      std::vector<Cell> cells{Cell::of(costs.owner->name), Cell::of(row.site.name)};
      for (const Product product : kAllProducts)
        cells.push_back(Cell::of(to_text(row.cells[static_cast<std::size_t>(product)].bit_ops)));
      figure.values.rows.push_back(std::move(cells));
    }
  }
  return {std::move(figure)};
}

}  // namespace ebb::report
