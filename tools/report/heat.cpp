#include "tools/report/heat.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/text.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

const std::array<const char*, 7> kShades{"#edf1f5", "#cfdde9", "#a9c6dc", "#7da9c9",
                                         "#4f86ad", "#2b608a", "#123b5d"};
constexpr std::size_t kDark = 4;  // from this shade on, text is light
constexpr double kRow = 12, kNarrowest = 27;

struct Frame {
  double left, right, top, bottom, width;  // the last of a column
  [[nodiscard]] double x(std::size_t column) const {
    return left + width * static_cast<double>(column);
  }
};

/// Neighbours of one shade are one rectangle.
void draw_cells(Drawing& drawing, const Map& map, const Scale& scale, const Frame& frame) {
  const std::size_t columns = map.columns.size();
  const auto shade = [&](std::size_t row, std::size_t column) -> std::optional<std::size_t> {
    const auto& cell = map.cells[row * columns + column];
    return cell ? std::optional(scale.shade_of(*cell)) : std::nullopt;
  };
  std::array<std::string, kShades.size()> paths;
  for (std::size_t row = 0; row < map.names.size(); ++row) {
    for (std::size_t column = 0, end = 0; column < columns; column = end) {
      const auto here = shade(row, column);
      for (end = column + 1; end < columns && shade(row, end) == here;) ++end;
      if (!here) continue;
      const double span = frame.x(end) - frame.x(column);
      paths[*here] += concat('M', coordinate(frame.x(column)), ' ',
                             coordinate(frame.top + kRow * static_cast<double>(row)), 'h',
                             coordinate(span), 'v', kRow - 1, 'h', coordinate(-span), 'z');
    }
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!paths[i].empty())
      drawing.path(paths[i], {{"class", concat("s", i)}, {"fill", kShades[i]}});
  }
}

std::string short_value(double value, const Scale& scale) {
  const double shown = value * scale.factor();
  if (std::isinf(shown)) return "exact";
  return train::format_fixed(shown,
                             scale.unit == std::string_view("bits") || shown >= 99.95 ? 0 : 1);
}

void write_values(Drawing& drawing, const Map& map, const Scale& scale, const Frame& frame) {
  drawing.open_group({{"font-size", "8.5"}});
  for (std::size_t i = 0; i < map.cells.size(); ++i) {
    if (!map.cells[i]) continue;
    const std::size_t row = i / map.columns.size(), column = i % map.columns.size();
    const bool dark = scale.shade_of(*map.cells[i]) >= kDark;
    drawing.text(frame.x(column) + frame.width / 2,
                 frame.top + kRow * static_cast<double>(row) + 8.5,
                 short_value(*map.cells[i], scale),
                 {{"class", dark ? "over" : "ink"}, {"fill", dark ? kPaper : kInk}}, "middle");
  }
  drawing.close_group();
}

void draw_legend_of(Drawing& drawing, const Scale& scale, double y, double right) {
  for (std::size_t shade = 0; shade < kShades.size(); ++shade) {
    const double x = 6 + 43 * static_cast<double>(shade);
    drawing.rectangle(x, y, 41, 9, {{"class", concat("s", shade)}, {"fill", kShades[shade]}});
    if (shade > 0)
      drawing.text(x - 1, y + 22,
                   to_text(std::round(scale.bounds[shade - 1] * scale.factor() * 10) / 10), {},
                   "middle");
  }
  drawing.text(right, y + 22, scale.unit, {}, "end");
}

}  // namespace

std::size_t Scale::shade_of(double value) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      bounds, [&](double bound) { return high_is_good ? value <= bound : value >= bound; }));
}

std::size_t Map::place_of(std::vector<std::string>& words, const std::string& word) {
  const auto known = std::ranges::find(words, word);
  const auto place = static_cast<std::size_t>(known - words.begin());
  if (known == words.end()) words.push_back(word);
  return place;
}

void Map::add(std::size_t row, std::size_t column, double value, const Scale& scale) {
  cells.resize(names.size() * columns.size());
  auto& cell = cells[row * columns.size() + column];
  if (!cell || scale.worse(value, *cell)) cell = value;
}

Drawing draw_map(const std::string& configuration, const Map& map, const Scale& scale,
                 const std::string& first, const std::string& last) {
  double name_width = 0;
  for (const std::string& name : map.names) name_width = std::max(name_width, width_of(name, 10));
  const double left = 12 + std::min(name_width, 150.0), right = 306, top = 4;
  const double bottom = top + kRow * static_cast<double>(map.names.size());
  const auto columns = static_cast<double>(std::max<std::size_t>(1, map.columns.size()));
  const Frame frame{left, right, top, bottom, (right - left) / columns};
  Drawing drawing(312, bottom + 64);
  drawing.open_group({{"class", "c"}, {"data-c", configuration}});
  drawing.open_group({{"class", "ink"}, {"fill", kInk}, {"font-size", "10"}});
  for (std::size_t row = 0; row < map.names.size(); ++row)
    drawing.text(left - 6, top + kRow * static_cast<double>(row) + 9, map.names[row], {}, "end");
  drawing.close_group();
  draw_cells(drawing, map, scale, frame);
  const bool named = !map.columns.empty() && !map.columns[0].empty();
  if (named && frame.width >= kNarrowest) write_values(drawing, map, scale, frame);
  drawing.open_group({{"class", "muted"}, {"fill", kMuted}, {"font-size", "10"}});
  for (std::size_t column = 0; named && column < map.columns.size(); ++column)
    drawing.text(frame.x(column) + frame.width / 2, bottom + 14, map.columns[column], {}, "middle");
  if (!named) {
    drawing.text(left, bottom + 14, first, {});
    drawing.text(right, bottom + 14, last, {}, "end");
  }
  draw_legend_of(drawing, scale, bottom + 28, right);
  drawing.close_group();
  drawing.close_group();
  return drawing;
}

}  // namespace ebb::report
