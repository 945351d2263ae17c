#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebb::report {

struct Cell {
  std::string text{};             ///< for reading
  std::optional<double> value{};  ///< with all its bits, for programs

  static Cell none() { return {}; }
  static Cell of(std::string text) { return {.text = std::move(text)}; }
  /// Shown with so many decimals.
  static Cell number(double value, int decimals);
  static Cell number(const std::optional<double>& value, int decimals) {
    return value ? number(*value, decimals) : none();
  }
  static Cell count(double value) { return number(value, 0); }
};

struct Table {
  std::vector<std::string> heading;
  std::vector<std::vector<Cell>> rows{};
};

/// Lines of fields, numbers with all their bits. With ',' fields are quoted as RFC 4180 says; with
/// a tab they are as they are. Control characters are escaped in both (see printable).
std::string to_lines(const Table& table, char separator);

/// Text as HTML and SVG show it; control characters are escaped as for a terminal.
std::string escaped(std::string_view text);

/// <table>, with full values as data-value.
std::string to_html(const Table& table, std::string_view caption);

}  // namespace ebb::report
