#include "quant/formats/format.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/read_number.h"

namespace ebb {
namespace {

bool parse_fp32(std::string_view text, Format& format) {
  format = Format::fp32();
  return text == "fp32";
}
bool parse_integer(std::string_view text, Format& format) {
  std::int64_t bits = 0;
  if (!text.starts_with("int") || !parse_canonical(text.substr(3), bits)) return false;
  if (bits < 1 || bits > Format::kMaxIntegerBits) return false;
  format = Format::integer(bits);
  return true;
}
void require_fp32(Format format) {
  require<ConfigError>(format.bits == 32, "[format] fp32 has 32 bits, got ", int{format.bits},
                       ": make formats with Format::fp32()");
}
void require_integer(Format format) { static_cast<void>(Format::integer(format.bits)); }
std::int64_t largest_integer(Format format) { return std::int64_t{1} << (format.bits - 1); }

constexpr FormatTraits kTraits[] = {
    {.kind = Format::Kind::fp32,
     .names = "fp32",
     .parse = parse_fp32,
     .print = [](Format) { return std::string("fp32"); },
     .require_valid = require_fp32,
     .arithmetic = Arithmetic::float32,
     .largest = nullptr,
     .code_bytes = nullptr},
    {.kind = Format::Kind::integer,
     .names = "int1 .. int16",
     .parse = parse_integer,
     .print = [](Format format) { return concat("int", int{format.bits}); },
     .require_valid = require_integer,
     .arithmetic = Arithmetic::linear,
     .largest = largest_integer,
     .code_bytes = [](Format format) { return format.bits <= 8 ? 1 : 2; }},
};

}  // namespace

std::span<const FormatTraits> format_traits() { return kTraits; }

const FormatTraits& traits_of(Format format) {
  const auto* const row = std::ranges::find(kTraits, format.kind, &FormatTraits::kind);
  require<ConfigError>(row != std::end(kTraits), "[format] no format of kind ",
                       static_cast<int>(format.kind),
                       ": make formats with Format::fp32(), integer() or parse()");
  return *row;
}

Format Format::integer(std::int64_t bits) {
  require<ConfigError>(bits >= 1 && bits <= kMaxIntegerBits, "[format] integer formats have 1 to ",
                       kMaxIntegerBits, " bits, got ", bits);
  return {Kind::integer, static_cast<std::uint8_t>(bits)};
}

Format Format::parse(std::string_view text) {
  std::vector<std::string> known;
  for (const FormatTraits& traits : kTraits) {
    Format format;
    if (traits.parse(text, format)) return format;
    known.emplace_back(traits.names);
  }
  throw ConfigError(concat("[format] unknown format '", text, "'; known: ", join_words(known)));
}

void require_valid(Format format) { traits_of(format).require_valid(format); }

std::string to_text(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::linear ? "linear codes" : "float32";
}
std::string to_text(Format format) { return traits_of(format).print(format); }

}  // namespace ebb
