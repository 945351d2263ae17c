#include "tools/report/svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "core/math.h"
#include "core/text.h"
#include "tools/report/table.h"
#include "train/app/tables.h"

namespace ebb::report {

std::string coordinate(double value) {
  const double rounded = std::round(value * 100) / 100;
  return to_text(rounded == 0 ? 0.0 : rounded);  // no -0
}

void Drawing::attributes(Attributes attributes) {
  for (const auto& [name, value] : attributes) {
    if (!value.empty()) body_ += concat(' ', name, "=\"", escaped(value), '"');
  }
}

void Drawing::open_group(Attributes attributes_of_group) {
  body_ += "<g";
  attributes(attributes_of_group);
  body_ += ">";
}

void Drawing::shape(std::string_view tag, Attributes attributes_of_shape, std::string_view title) {
  body_ += concat('<', tag);
  attributes(attributes_of_shape);
  if (title.empty())
    body_ += "/>";
  else
    body_ += concat("><title>", escaped(title), "</title></", tag, '>');
}

void Drawing::line(double x1, double y1, double x2, double y2, Attributes attributes_of_line) {
  body_ += concat("<path d=\"M", coordinate(x1), ' ', coordinate(y1), 'L', coordinate(x2), ' ',
                  coordinate(y2), '"');
  attributes(attributes_of_line);
  body_ += "/>";
}

void Drawing::rectangle(double x, double y, double width, double height,
                        Attributes attributes_of_shape, std::string_view title) {
  body_ += concat("<rect x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" width=\"",
                  coordinate(width), "\" height=\"", coordinate(height), '"');
  attributes(attributes_of_shape);
  if (title.empty())
    body_ += "/>";
  else
    body_ += concat("><title>", escaped(title), "</title></rect>");
}

void Drawing::path(std::string d, Attributes attributes_of_path) {
  body_ += concat("<path d=\"", d, '"');
  attributes(attributes_of_path);
  body_ += "/>";
}

void Drawing::text(double x, double y, std::string_view text, Attributes attributes_of_text,
                   std::string_view anchor) {
  body_ += concat("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), '"');
  if (anchor != "start") body_ += concat(" text-anchor=\"", anchor, '"');
  attributes(attributes_of_text);
  body_ += concat('>', escaped(text), "</text>");
}

double width_of(std::string_view text, double size) {
  const auto characters = std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; });
  return 0.56 * size * static_cast<double>(characters);
}

const std::vector<std::string>& palette() {
  static const std::vector<std::string> colours{"#0069a8", "#b94700", "#007a58", "#9c3f86",
                                                "#3f4a57", "#856404", "#5650c4", "#7a4b2a",
                                                "#0b7285", "#b02a3c"};
  return colours;
}

void draw_mark(Drawing& drawing, const Look& look, double x, double y, double radius,
               std::string_view title) {
  struct Corner {
    double x, y;
  };
  static const std::array<std::vector<Corner>, 5> corners{
      {{},
       {{0, -1.2}, {1.1, 0.75}, {-1.1, 0.75}},
       {{-0.88, -0.88}, {0.88, -0.88}, {0.88, 0.88}, {-0.88, 0.88}},
       {{0, -1.25}, {1.1, 0}, {0, 1.25}, {-1.1, 0}},
       {{0, -1.1}, {1.05, -0.34}, {0.65, 0.9}, {-0.65, 0.9}, {-1.05, -0.34}}}};
  const std::string colour =
      concat("mark k", look.colour, " o", std::min<std::size_t>(look.outline, 3));
  const bool outlined = look.outline != 1;
  const std::string stroke = outlined ? kInk : kPaper;
  const std::string dashes = look.outline >= 2 ? (look.outline == 2 ? "2.5 1.5" : "1 1.5") : "";
  const std::string width = outlined ? "1.6" : "1";
  if (look.shape == Look::Shape::circle) {
    drawing.shape("circle",
                  {{"cx", coordinate(x)},
                   {"cy", coordinate(y)},
                   {"r", coordinate(radius)},
                   {"class", colour},
                   {"fill", palette()[look.colour]},
                   {"stroke", stroke},
                   {"stroke-width", width},
                   {"stroke-dasharray", dashes}},
                  title);
    return;
  }
  std::string d;
  for (const Corner& corner : corners[static_cast<std::size_t>(look.shape)])
    d += concat(d.empty() ? 'M' : 'L', coordinate(x + radius * corner.x), ' ',
                coordinate(y + radius * corner.y));
  drawing.shape("path",
                {{"d", d + "Z"},
                 {"class", colour},
                 {"fill", palette()[look.colour]},
                 {"stroke", stroke},
                 {"stroke-width", width},
                 {"stroke-linejoin", "round"},
                 {"stroke-dasharray", dashes}},
                title);
}

Axis Axis::nice(double low, double high, double from, double to, int count, double margin) {
  if (!(high > low)) {  // one value, or none
    const double half = low == 0 ? 0.5 : 0.05 * std::abs(low);
    high = low + half;
    low -= half;
  }
  const double padding = margin * (high - low);
  Axis axis{.low = low - padding, .high = high + padding, .from = from, .to = to};
  const double raw = (axis.high - axis.low) / count;
  const double decade = std::floor(math::log(raw) / math::log(10.0));
  const double power = decade >= 0 ? math::pow(10.0, static_cast<std::int64_t>(decade))
                                   : 1 / math::pow(10.0, static_cast<std::int64_t>(-decade));
  axis.step = 10 * power;
  for (const double nice : {5.0, 2.0, 1.0}) {
    if (nice * power >= 0.7 * raw) axis.step = nice * power;
  }
  for (double k = std::ceil(axis.low / axis.step); k * axis.step <= axis.high; ++k)
    axis.ticks.push_back(k * axis.step);
  return axis;
}

Axis Axis::wide(double low, double high, double from, double to, int count, double most) {
  if (!(low > 0) || !(high > most * low)) return nice(low, high, from, to, count);
  Axis axis{.low = low, .high = high, .from = from, .to = to, .logarithmic = true};
  double decade = math::pow(
      10.0, std::floor(math::log(low) / math::log(10.0)));  // that the lowest value lies in
  const bool sparse = high > 100 * low;
  for (; decade <= high; decade *= 10) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      const double tick = decade >= 1 ? digit * std::round(decade) : digit / std::round(1 / decade);
      if (tick >= low && tick <= high && tick > 0 && (digit == 1 || !sparse))
        axis.ticks.push_back(tick);
    }
  }
  return axis;
}

double Axis::at(double value) const {
  const double share = logarithmic ? math::log(std::max(value, low) / low) / math::log(high / low)
                                   : (value - low) / (high - low);
  return from + share * (to - from);
}

std::string Axis::label(double tick) const {
  if (logarithmic) return to_text(tick);
  const double most = std::max(std::abs(low), std::abs(high));
  for (const auto& [limit, unit, letter] :
       {std::tuple(2e9, 1e9, "G"), std::tuple(2e6, 1e6, "M"), std::tuple(1e4, 1e3, "k")}) {
    if (most >= limit && std::abs(tick) > 0)
      return to_text(std::round(tick / unit * 1e6) / 1e6) + letter;
  }
  int decimals = 0;
  for (double scaled = step; decimals < 12 && std::abs(scaled - std::round(scaled)) > 1e-6 * scaled;
       scaled *= 10)
    ++decimals;
  return train::format_fixed(tick == 0 ? 0.0 : tick, decimals);
}

void draw_left_axis(Drawing& drawing, const Axis& y, double left, double right,
                    std::string_view title) {
  drawing.open_group({{"class", "axis"}, {"fill", kMuted}, {"font-size", "11"}});
  for (const double tick : y.ticks) {
    drawing.line(left, y.at(tick), right, y.at(tick), {{"class", "grid"}, {"stroke", kFaint}});
    drawing.text(left - 6, y.at(tick) + 4, y.label(tick), {}, "end");
  }
  if (!title.empty())
    drawing.text(left - 6, std::min(y.from, y.to) - 8, title, {{"class", "title"}});
  drawing.close_group();
}

void draw_bottom_axis(Drawing& drawing, const Axis& x, double bottom, std::string_view title) {
  drawing.open_group({{"class", "axis"}, {"fill", kMuted}, {"font-size", "11"}});
  drawing.line(x.from, bottom, x.to, bottom, {{"class", "base"}, {"stroke", kMuted}});
  for (const double tick : x.ticks) {
    drawing.line(x.at(tick), bottom, x.at(tick), bottom + 4,
                 {{"class", "base"}, {"stroke", kMuted}});
    drawing.text(x.at(tick), bottom + 16, x.label(tick), {}, "middle");
  }
  if (!title.empty())
    drawing.text((x.from + x.to) / 2, bottom + 33, title, {{"class", "title"}}, "middle");
  drawing.close_group();
}

}  // namespace ebb::report
