#include "quant/formats/encoding.h"

#include <array>

#include "core/error.h"

namespace ebb {
namespace {

/// Index of `text` among the names of an enumeration.
template <class Enum, std::size_t N>
Enum parse_enum(std::string_view what, std::string_view text,
                const std::array<std::string, N>& names) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  throw ConfigError(unknown_word(what, text, names));
}

const std::array<std::string, 2>& grid_style_names() {
  static const std::array<std::string, 2> names{"affine", "symmetric"};
  return names;
}
const std::array<std::string, 2>& rounding_names() {
  static const std::array<std::string, 2> names{"nearest-even", "stochastic"};
  return names;
}

}  // namespace

std::string to_text(GridStyle style) { return grid_style_names()[static_cast<std::size_t>(style)]; }
std::string to_text(Rounding rounding) {
  return rounding_names()[static_cast<std::size_t>(rounding)];
}
GridStyle parse_grid_style(std::string_view text) {
  return parse_enum<GridStyle>("grid", text, grid_style_names());
}
Rounding parse_rounding(std::string_view text) {
  return parse_enum<Rounding>("rounding", text, rounding_names());
}

}  // namespace ebb
