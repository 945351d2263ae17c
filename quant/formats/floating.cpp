#include "quant/formats/floating.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/read_number.h"

namespace ebb {
namespace floating {
namespace {

struct Name {
  std::string_view text;
  std::int64_t exponent, fraction;
};
/// What is not called eXmY: names that are printed too, then short ones that are only read.
constexpr Name kNames[] = {{"fp32", 8, 23}, {"tf32", 8, 10}, {"bf16", 8, 7}, {"fp16", 5, 10},
                           {"fp8", 4, 3},   {"fp6", 3, 2},   {"fp4", 2, 1}};
constexpr std::size_t kPrinted = 4;

std::uint64_t bit(int place) { return std::uint64_t{1} << place; }

std::uint64_t highest_exponent(Format f) { return bit(f.exponent) - 1; }
/// The code of the largest finite number.
std::uint64_t max_code(Format f) {
  const std::uint64_t all = bit(f.exponent + f.fraction);
  if (f.specials == Format::Specials::ieee) return (highest_exponent(f) << f.fraction) - 1;
  return f.specials == Format::Specials::nan ? all - 2 : all - 1;
}

/// first + n / 2^shift to nearest, ties to even; shift >= 1.
std::uint64_t nearest(std::uint64_t first, std::uint64_t n, int shift) {
  if (shift > 54) return first;  // n < 2^53 is less than half
  const std::uint64_t below = first + (n >> shift), rest = n & (bit(shift) - 1),
                      half = bit(shift - 1);
  return below + (rest > half || (rest == half && below % 2 == 1) ? 1 : 0);
}

std::uint64_t stochastic(std::uint64_t first, std::uint64_t n, int shift, std::uint32_t random) {
  const std::uint64_t below = shift > 53 ? 0 : n >> shift,
                      rest = n - (below << std::min(shift, 63));
  // The rest in units of 2^-32 of the distance.
  const std::uint64_t share = shift <= 32 ? rest << (32 - shift) : nearest(0, rest, shift - 32);
  return first + below + ((share + random) >> 32);
}

}  // namespace

bool parse(std::string_view text, Format& format) {
  for (const Name& name : kNames) {
    if (name.text != text) continue;
    format = Format::floating(name.exponent, name.fraction);
    return true;
  }
  const std::size_t m = text.find('m');
  std::int64_t exponent = 0, fraction = 0;
  if (!text.starts_with('e') || m == std::string_view::npos ||
      !parse_canonical(text.substr(1, m - 1), exponent) ||
      !parse_canonical(text.substr(m + 1), fraction) || exponent < 1 || exponent > 8 ||
      fraction < 0 || fraction > 23 || (exponent == 1 && fraction > 6))
    return false;
  format = Format::floating(exponent, fraction);
  return true;
}

std::string print(Format format) {
  for (const Name& name : std::span(kNames).first(kPrinted)) {
    if (name.exponent == format.exponent && name.fraction == format.fraction)
      return std::string(name.text);
  }
  return concat('e', int{format.exponent}, 'm', int{format.fraction});
}

void require_valid(Format format) {
  Format made = Format::floating(format.exponent, format.fraction);
  made.scaling = format.scaling;
  require<ConfigError>(format == made,
                       "[format] no floating format has ", int{format.width},
                       " bits with the bias ", format.bias, ", of them ", int{format.exponent},
                       " of exponent and ", int{format.fraction},
                       " of fraction: make formats with Format::floating() or parse()");
}

double unit(Format format) { return std::ldexp(1.0, 1 - format.bias - format.fraction); }

double max(Format format) {
  return static_cast<double>(decode(format, static_cast<std::uint32_t>(max_code(format))));
}

std::uint32_t encode(Format format, double x, Rounding rounding, std::uint32_t random) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t sign = bits >> 63, largest = max_code(format);
  std::uint64_t code = largest + 1;
  if (std::isfinite(x)) {
    const int field = static_cast<int>(bits >> 52 & 0x7ff);
    const std::uint64_t n = (bits & (bit(52) - 1)) | (field > 0 ? bit(52) : 0);
    const int exponent = std::max(field, 1) - 1023, least = 1 - format.bias;
    // |x| is n 2^(exponent - 52), its neighbours are multiples of 2^(binade - fraction).
    const int binade = std::max(exponent, least), shift = binade - format.fraction - exponent + 52;
    // Codes follow each other as numbers do: a carry leads to the next binade.
    const std::uint64_t first = static_cast<std::uint64_t>(binade - least) << format.fraction;
    code = rounding == Rounding::stochastic ? stochastic(first, n, shift, random)
                                            : nearest(first, n, shift);
  }
  if (code > largest)
    code = format.overflow == Format::Overflow::saturate
               ? largest
               : highest_exponent(format) << format.fraction;
  return static_cast<std::uint32_t>(sign << (format.width - 1) | code);
}

float decode(Format format, std::uint32_t code) {
  const std::uint32_t sign = code >> (format.width - 1) & 1,
                      magnitude = code & static_cast<std::uint32_t>(bit(format.width - 1) - 1),
                      exponent = magnitude >> format.fraction,
                      fraction = magnitude & static_cast<std::uint32_t>(bit(format.fraction) - 1);
  const int binade = static_cast<int>(exponent) - format.bias;
  float value = std::numeric_limits<float>::quiet_NaN();
  if (magnitude <= max_code(format) && exponent > 0 && binade >= -126) {  // float32's own fields
    value = std::bit_cast<float>(static_cast<std::uint32_t>(binade + 127) << 23 |
                                 fraction << (23 - format.fraction));
  } else if (magnitude <= max_code(format)) {
    const std::uint64_t n = fraction + (exponent > 0 ? bit(format.fraction) : 0);
    value = static_cast<float>(
        std::ldexp(static_cast<double>(n), std::max(binade, 1 - format.bias) - format.fraction));
  } else if (format.specials == Format::Specials::ieee && fraction == 0) {
    value = std::numeric_limits<float>::infinity();
  }
  return sign != 0 ? -value : value;
}

}  // namespace floating

Format Format::floating(std::int64_t exponent, std::int64_t fraction) {
  const std::int64_t width = 1 + exponent + fraction;
  require<ConfigError>(
      exponent >= 1 && exponent <= 8 && fraction >= 0 && fraction <= 23 &&
          (exponent > 1 || width <= 8),
      "[format] floating formats have 1 to 8 bits of exponent (from 2 above 8 bits "
      "in all) and 0 to 23 of fraction, got ",
      exponent, " and ", fraction);
  const bool ocp_e4m3 = exponent == 4 && fraction == 3, ocp_e5m2 = exponent == 5 && fraction == 2;
  return {.kind = Kind::floating,
          .width = static_cast<std::uint8_t>(width),
          .exponent = static_cast<std::uint8_t>(exponent),
          .fraction = static_cast<std::uint8_t>(fraction),
          .specials = ocp_e4m3                ? Specials::nan
                      : width > 8 || ocp_e5m2 ? Specials::ieee
                                              : Specials::none,
          .overflow = width > 8 ? Overflow::ieee : Overflow::saturate,
          .bias = static_cast<std::int16_t>((1 << (exponent - 1)) - 1),
          .scaling = {.kind = width > 8 ? Scaling::Kind::none : Scaling::Kind::absmax}};
}

}  // namespace ebb
