#include "quant/formats/fixed.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/read_number.h"
#include "quant/formats/rounding.h"

namespace ebb {
namespace fixed {
namespace {

/// A block's elements of bfp: one bit before the point, and a power of two for each block.
bool is_block_floating(Format format) {
  const Scaling& scaling = format.scaling;
  return scaling.kind == Scaling::Kind::pow2 && scaling.block > 0 && scaling.lines == 1 &&
         format.fraction == format.width - 2;
}

bool symmetric(Format format) { return format.scaling.kind != Scaling::Kind::none; }

std::optional<std::string> parse_blocks(std::span<const std::string_view> arguments,
                                        Format& format) {
  std::int64_t mantissa = 0, block = 0, exponent = 0;
  if (arguments.size() != 3 || !parse_canonical(arguments[0], mantissa) ||
      !parse_canonical(arguments[1], block) || !parse_canonical(arguments[2], exponent))
    return "bfp needs bits of mantissa, elements of a block and bits of exponent, as in "
           "bfp(3,16,8)";
  if (mantissa < 1 || mantissa > 15 || block < 1 || block > 65535 || exponent < 2 || exponent > 8)
    return concat(
        "bfp has 1 to 15 bits of mantissa, blocks of 1 to 65535 and 2 to 8 bits of "
        "exponent, got ",
        mantissa, ", ", block, " and ", exponent);
  format = Format::fixed(mantissa + 1, mantissa - 1);
  format.scaling = {.kind = Scaling::Kind::pow2,
                    .exponent = static_cast<std::uint8_t>(exponent),
                    .block = static_cast<std::uint16_t>(block)};
  return "";
}

}  // namespace

std::optional<std::string> parse(std::string_view name, std::span<const std::string_view> arguments,
                                 Format& format) {
  if (name == "bfp") return parse_blocks(arguments, format);
  const std::size_t point = name.find('.');
  std::int64_t width = 0, fraction = 0;
  if (!name.starts_with("fixed") || point == std::string_view::npos ||
      !parse_canonical(name.substr(5, point - 5), width) ||
      !parse_canonical(name.substr(point + 1), fraction))
    return std::nullopt;
  if (!arguments.empty()) return concat(name, " takes options only");
  try {
    format = Format::fixed(width, fraction);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string print(Format format) {
  if (is_block_floating(format))
    return concat("bfp(", format.width - 1, ',', format.scaling.block, ',',
                  int{format.scaling.exponent}, ')');
  return concat("fixed", int{format.width}, '.', int{format.fraction});
}

std::string problem(Format format) {
  Format plain{};
  const std::string name = concat("fixed", int{format.width}, '.', int{format.fraction});
  if (std::string wrong = *parse(name, {}, plain); !wrong.empty()) return wrong;
  plain.scaling = format.scaling;
  return plain == format ? "" : "a fixed-point format is a width, a point and a scale alone";
}

std::int64_t largest(Format format) {
  return (std::int64_t{1} << (format.width - 1)) - (symmetric(format) ? 1 : 0);
}
double unit(Format format) { return std::ldexp(1.0, -format.fraction); }
double max(Format format) { return std::ldexp((1 << (format.width - 1)) - 1, -format.fraction); }

std::uint32_t encode(Format format, double x, Rounding rounding, Draw draw) {
  const bool negative = std::signbit(x);
  const std::int64_t end = negative ? largest(format) : (std::int64_t{1} << (format.width - 1)) - 1;
  std::int64_t code = end;
  if (std::abs(x) < std::ldexp(static_cast<double>(end), -format.fraction)) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    const int field = static_cast<int>(bits >> 52 & 0x7ff);
    const std::uint64_t n =
        (bits & ((std::uint64_t{1} << 52) - 1)) | (field > 0 ? std::uint64_t{1} << 52 : 0);
    // |x| is n / 2^shift units; below 2^15 of them, so that shift > 0.
    const int shift = 1075 - std::max(field, 1) - format.fraction;
    const std::uint64_t below = shift > 63 ? 0 : n >> shift,
                        rest = shift > 63 ? n : n - (below << shift);
    const bool up =
        rounds_up(place_at(rest, shift, draw.bits), below % 2 == 1, negative, rounding, draw);
    code = static_cast<std::int64_t>(below) + (up ? 1 : 0);
  }
  return static_cast<std::uint32_t>(negative ? -code : code) &
         ((std::uint32_t{1} << format.width) - 1);
}

float decode(Format format, std::uint32_t code) {
  const int unused = 32 - format.width;
  const auto integer = static_cast<std::int32_t>(code << unused) >> unused;
  return static_cast<float>(std::ldexp(integer, -format.fraction));
}

}  // namespace fixed

Format Format::fixed(std::int64_t width, std::int64_t fraction) {
  require<ConfigError>(
      width >= 2 && width <= 16 && fraction >= 0 && fraction <= width,
      "[format] fixed-point formats have 2 to 16 bits, up to all of them behind the "
      "point, got ",
      width, " and ", fraction);
  return {.kind = Kind::fixed,
          .width = static_cast<std::uint8_t>(width),
          .exponent = 0,
          .fraction = static_cast<std::uint8_t>(fraction),
          .specials = Specials::none,
          .overflow = Overflow::saturate,
          .bias = 0};
}

}  // namespace ebb
