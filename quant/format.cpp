#include "quant/format.h"

#include <array>

#include "core/error.h"
#include "core/read_number.h"

namespace ebb {
namespace {

/// Index of `text` among the names of an enumeration.
template <class Enum, std::size_t N>
Enum parse_enum(std::string_view what, std::string_view text, const std::array<std::string, N>& names) {
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

Format Format::integer(std::int64_t bits) {
  require<ConfigError>(bits >= 1 && bits <= kMaxIntegerBits, "[format] integer formats have 1 to ", kMaxIntegerBits, " bits, got ",
                       bits);
  return {Kind::integer, static_cast<std::uint8_t>(bits)};
}

Format Format::parse(std::string_view text) {
  if (text == "fp32") return fp32();
  std::int64_t bits = 0;
  if (text.starts_with("int") && parse_canonical(text.substr(3), bits) && bits >= 1 && bits <= kMaxIntegerBits)
    return integer(bits);
  throw ConfigError(concat("[format] unknown format '", text, "'; known: fp32, int1 .. int", kMaxIntegerBits));
}

void require_valid(Format format) {
  if (!format.is_fp32()) {
    static_cast<void>(Format::integer(format.bits));
    return;
  }
  require<ConfigError>(format.bits == 32, "[format] fp32 has 32 bits, got ", int{format.bits},
                       ": make formats with Format::fp32()");
}

void require_valid(Accumulator accumulator) {
  if (!accumulator.is_exact()) static_cast<void>(Accumulator::wrap(accumulator.bits));
}

std::string to_text(Format format) { return format.is_fp32() ? "fp32" : concat("int", int{format.bits}); }
std::string to_text(GridStyle style) { return grid_style_names()[static_cast<std::size_t>(style)]; }
std::string to_text(Rounding rounding) { return rounding_names()[static_cast<std::size_t>(rounding)]; }

std::string to_text(Role role) {
  constexpr std::array names{"weight", "activation", "gradient"};
  return names[static_cast<std::size_t>(role)];
}

std::string to_text(Product product) {
  constexpr std::array names{"forward", "grad_input", "grad_weight", "aggregate", "aggregate_grad"};
  return names[static_cast<std::size_t>(product)];
}

GridStyle parse_grid_style(std::string_view text) { return parse_enum<GridStyle>("grid", text, grid_style_names()); }
Rounding parse_rounding(std::string_view text) { return parse_enum<Rounding>("rounding", text, rounding_names()); }

Accumulator Accumulator::wrap(std::int64_t bits) {
  require<ConfigError>(bits >= 2 && bits <= 62, "[accumulator] a narrow accumulator has 2 to 62 bits, got ", bits);
  return {Kind::wrap, static_cast<std::uint8_t>(bits)};
}

Accumulator Accumulator::saturate(std::int64_t bits) {
  Accumulator accumulator = wrap(bits);
  accumulator.kind = Kind::saturate;
  return accumulator;
}

Accumulator Accumulator::parse(std::string_view text) {
  if (text == "exact") return exact();
  std::int64_t bits = 0;
  if (text.starts_with("wrap") && parse_canonical(text.substr(4), bits)) return wrap(bits);
  if (text.starts_with("sat") && parse_canonical(text.substr(3), bits)) return saturate(bits);
  throw ConfigError(concat("[accumulator] unknown accumulator '", text, "'; known: exact, wrapN, satN with N = 2 .. 62 bits"));
}

std::string to_text(Accumulator accumulator) {
  if (accumulator.is_exact()) return "exact";
  return concat(accumulator.kind == Accumulator::Kind::wrap ? "wrap" : "sat", int{accumulator.bits});
}

}  // namespace ebb
