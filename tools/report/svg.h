#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/report/comparison.h"

namespace ebb::report {

/// A coordinate with two decimals at most.
std::string coordinate(double value);

/// SVG under construction. Attributes give the colours of a light page, so that a file stands for
/// itself; classes let the style sheet of a page replace them.
class Drawing {
 public:
  using Attributes = std::initializer_list<std::pair<std::string_view, std::string>>;

  Drawing(double width, double height) : width_(width), height_(height) {}
  [[nodiscard]] double width() const { return width_; }
  [[nodiscard]] double height() const { return height_; }
  [[nodiscard]] const std::string& body() const { return body_; }

  void open_group(Attributes attributes);
  void close_group() { body_ += "</g>\n"; }
  /// A shape; `title` is what a pointer that rests on it is told.
  void shape(std::string_view tag, Attributes attributes, std::string_view title = {});
  void line(double x1, double y1, double x2, double y2, Attributes attributes);
  void rectangle(double x, double y, double width, double height, Attributes attributes,
                 std::string_view title = {});
  void path(std::string d, Attributes attributes);
  /// Text from x on; anchor "middle" or "end" places it otherwise.
  void text(double x, double y, std::string_view text, Attributes attributes,
            std::string_view anchor = "start");

 private:
  void attributes(Attributes attributes);
  double width_, height_;
  std::string body_;
};

/// About how wide a text is.
double width_of(std::string_view text, double size);

/// By Look::colour. All are told apart by readers who see red and green alike, and have a contrast
/// of 4.5 and more to the paper.
const std::vector<std::string>& palette();
inline constexpr const char *kInk = "#1d2530", *kMuted = "#5b6673", *kFaint = "#d9dee5",
                            *kPaper = "#ffffff";

/// A mark of that look about a point.
void draw_mark(Drawing& drawing, const Look& look, double x, double y, double radius,
               std::string_view title = {});

/// Numbers along an axis.
struct Axis {
  double low = 0, high = 1;  ///< of the data
  double from = 0, to = 1;   ///< where they are drawn
  double step = 1;
  bool logarithmic = false;
  std::vector<double> ticks{};

  /// With about `count` ticks at 1, 2 or 5 times a power of ten, and a margin of `margin` of the
  /// range.
  static Axis nice(double low, double high, double from, double to, int count,
                   double margin = 0.05);
  /// An axis for positive numbers, logarithmic if they span more than `most`; else as `nice`.
  static Axis wide(double low, double high, double from, double to, int count, double most = 30);
  [[nodiscard]] double at(double value) const;
  /// "0.25", "20k", "1.5M".
  [[nodiscard]] std::string label(double tick) const;
};
/// Lines of the grid, and numbers, at the left.
void draw_left_axis(Drawing& drawing, const Axis& y, double left, double right,
                    std::string_view title);
void draw_bottom_axis(Drawing& drawing, const Axis& x, double bottom, std::string_view title);

}  // namespace ebb::report
