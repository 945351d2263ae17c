#include "quant/formats/format.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "core/read_number.h"
#include "quant/formats/floating.h"

namespace ebb {
namespace {

bool parse_integer(std::string_view text, Format& format) {
  std::int64_t bits = 0;
  if (!text.starts_with("int") || !parse_canonical(text.substr(3), bits)) return false;
  if (bits < 1 || bits > Format::kMaxIntegerBits) return false;
  format = Format::integer(bits);
  return true;
}
void require_integer(Format format) {
  Format named = Format::integer(format.width);
  if (format.scaling.block > 0) named.scaling = format.scaling;
  require<ConfigError>(format == named,
                       "[format] an integer format is a width alone: make formats with "
                       "Format::integer() or parse()");
}

int width_of(Format format) { return format.width; }
Container container_of(std::int64_t bits) {
  return bits <= 8 ? Container::int8 : bits <= 16 ? Container::int16 : Container::float32;
}
/// The narrowest that holds a code; above 16 bits the value itself.
Container narrowest(Format format) { return container_of(format.width); }

/// The largest number of a floating format in units of its smallest.
double floating_units(Format format) { return floating::max(format) / floating::unit(format); }
/// Narrow numbers with few binades are small integers times the smallest one, which integer kernels
/// multiply as they are.
bool is_linear(Format format) {
  return format.width <= 8 && format.specials == Format::Specials::none &&
         floating_units(format) < 0x1p15;
}
Container floating_container(Format format) {
  return !is_linear(format) ? narrowest(format)
                            : container_of(floating_units(format) < 0x1p7 ? 8 : 16);
}

constexpr FormatTraits kTraits[] = {
    {.kind = Format::Kind::floating,
     .names = "fp32, tf32, bf16, fp16, any eXmY such as e4m3",
     .parse = floating::parse,
     .print = floating::print,
     .require_valid = floating::require_valid,
     .cost_bits = width_of,
     .container = floating_container,
     .arithmetic =
         [](Format format) {
           return is_linear(format)                         ? Arithmetic::linear
                  : narrowest(format) == Container::float32 ? Arithmetic::float32
                                                            : Arithmetic::decoded;
         },
     .largest = [](Format format) { return static_cast<std::int64_t>(floating_units(format)); },
     .max = floating::max,
     .unit = floating::unit,
     .encode = floating::encode,
     .decode = floating::decode},
    {.kind = Format::Kind::integer,
     .names = "int1 .. int16",
     .parse = parse_integer,
     .print = [](Format format) { return concat("int", int{format.width}); },
     .require_valid = require_integer,
     .cost_bits = width_of,
     .container = narrowest,
     .arithmetic = [](Format) { return Arithmetic::linear; },
     .largest = [](Format format) { return std::int64_t{1} << (format.width - 1); },
     .max = nullptr,
     .unit = nullptr,
     .encode = nullptr,
     .decode = nullptr},
};
static_assert(std::ranges::is_sorted(kTraits, {}, &FormatTraits::kind));  // a row is found by kind

}  // namespace

std::span<const FormatTraits> format_traits() { return kTraits; }

const FormatTraits& traits_of(Format format) {
  const auto row = static_cast<std::size_t>(format.kind);
  require<ConfigError>(row < std::size(kTraits), "[format] no format of kind ", row,
                       ": make formats with Format::fp32(), integer(), floating() or parse()");
  return kTraits[row];
}

Format Format::integer(std::int64_t bits) {
  require<ConfigError>(bits >= 1 && bits <= kMaxIntegerBits, "[format] integer formats have 1 to ",
                       kMaxIntegerBits, " bits, got ", bits);
  return {.kind = Kind::integer,
          .width = static_cast<std::uint8_t>(bits),
          .exponent = 0,
          .fraction = 0,
          .specials = Specials::none,
          .bias = 0};
}

bool find_format(std::string_view text, Format& format) {
  return std::ranges::any_of(kTraits,
                             [&](const FormatTraits& row) { return row.parse(text, format); });
}

bool find_width(std::string_view text, Format& format) {
  std::int64_t bits = 0;
  if (!parse_canonical(text, bits)) return find_format(text, format);
  if (bits < 1 || bits > Format::kMaxIntegerBits) return false;
  format = Format::integer(bits);
  return true;
}

Format Format::parse(std::string_view text) {
  Format format;
  if (find_format(text, format)) return format;
  std::vector<std::string> known;
  for (const FormatTraits& row : kTraits) known.emplace_back(row.names);
  throw ConfigError(concat("[format] unknown format '", text, "'; known: ", join_words(known)));
}

void require_valid(Format format) { traits_of(format).require_valid(format); }

std::string to_text(Arithmetic arithmetic) {
  constexpr std::array names{"float32", "linear codes", "codes to be decoded", "blocks of codes"};
  return names[static_cast<std::size_t>(arithmetic)];
}
std::string to_text(Format format) { return traits_of(format).print(format); }

}  // namespace ebb
