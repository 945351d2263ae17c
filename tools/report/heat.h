#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tools/report/figures.h"

namespace ebb::report {

/// What a map shows, from harmless to bad, and the bounds between its seven shades.
struct Scale {
  const char* name;
  const char* unit;  ///< "%", of shares, which are then shown times 100; "dB"; "bits"
  bool high_is_good;
  std::array<double, 6> bounds;

  [[nodiscard]] double factor() const { return *unit == '%' ? 100 : 1; }
  [[nodiscard]] bool worse(double value, double other) const {
    return high_is_good ? value < other : value > other;
  }
  [[nodiscard]] std::size_t shade_of(double value) const;
};

/// Values by row and column, some of which may be missing; of several the worst.
struct Map {
  std::vector<std::string> names{};    ///< of rows
  std::vector<std::string> columns{};  ///< their names; those of times are left empty
  std::vector<std::optional<double>> cells{};

  /// The cell of a row and column, which are added if they are new.
  static std::size_t place_of(std::vector<std::string>& words, const std::string& word);
  void add(std::size_t row, std::size_t column, double value, const Scale& scale);
};

/// A map with its legend, for a panel of the page. Columns with names have their values written in
/// them where they fit; those without are times, and `first` and `last` stand below them.
Drawing draw_map(const std::string& configuration, const Map& map, const Scale& scale,
                 const std::string& first = "", const std::string& last = "");

}  // namespace ebb::report
