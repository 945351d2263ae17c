#include "quant/formats/encoding.h"

#include <array>

#include "core/error.h"
#include "core/read_number.h"

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
const std::array<std::string, 8>& rounding_names() {
  static const std::array<std::string, 8> names{
      "nearest-even", "stochastic", "nearest-away", "toward-zero", "away", "up", "down", "odd"};
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
std::string to_text(RoundingMode mode) {
  return mode.random_bits > 0 ? concat("sr", int{mode.random_bits}) : to_text(mode.rounding);
}
Rounding parse_rounding(std::string_view text) {
  return parse_enum<Rounding>("rounding", text, rounding_names());
}
RoundingMode parse_rounding_mode(std::string_view text) {
  std::int64_t bits = 0;
  if (!text.starts_with("sr") || !parse_canonical(text.substr(2), bits))
    return {.rounding = parse_rounding(text)};
  require<ConfigError>(bits >= 1 && bits <= 32,
                       "[rounding] stochastic rounding draws 1 to 32 bits, as in sr8; got ", bits);
  return {.rounding = Rounding::stochastic, .random_bits = static_cast<std::uint8_t>(bits)};
}

}  // namespace ebb
