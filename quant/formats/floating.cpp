#include "quant/formats/floating.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/read_number.h"
#include "quant/formats/rounding.h"

namespace ebb {
namespace floating {
namespace {

using Specials = Format::Specials;
using Overflow = Format::Overflow;

std::uint64_t bit(int place) { return std::uint64_t{1} << place; }

/// The formats of scales that are powers of two: E = 0 stands for one too.
bool has_zero(Format f) { return f.sign || f.fraction > 0; }
bool has_negative_zero(Format f) {
  return f.sign && f.specials != Specials::fnuz && f.specials != Specials::p3109;
}
std::uint64_t magnitudes(Format f) { return bit(f.exponent + f.fraction); }
std::uint64_t highest_exponent(Format f) { return bit(f.exponent) - 1; }

std::uint64_t infinity_code(Format f) {
  return f.specials == Specials::ieee ? highest_exponent(f) << f.fraction : magnitudes(f) - 1;
}
std::uint64_t nan_code(Format f, std::uint64_t sign) {
  const std::uint64_t top = bit(f.exponent + f.fraction);
  if (f.specials == Specials::fnuz || f.specials == Specials::p3109) return top;
  const std::uint64_t code = f.specials == Specials::ieee
                                 ? infinity_code(f) | (f.fraction > 0 ? bit(f.fraction - 1) : 0)
                                 : magnitudes(f) - 1;
  return f.sign && sign != 0 ? top | code : code;
}

/// What is beyond the largest number, infinities included, as the code of a magnitude or NaN.
std::uint64_t beyond(Format f, std::uint64_t sign, bool infinite, Rounding rounding) {
  const std::uint64_t largest = max_code(f);
  if (f.overflow == Overflow::saturate || (!infinite && keeps_finite(rounding, sign != 0)))
    return largest;
  if (has_infinity(f) && (infinite || f.overflow == Overflow::ieee)) return infinity_code(f);
  return f.overflow == Overflow::nan ? nan_code(f, 0) : largest;
}

/// The code of a finite magnitude as if exponents had no end.
std::uint64_t unbounded(Format f, std::uint64_t bits, Rounding rounding, Draw draw) {
  const bool negative = bits >> 63 != 0;
  const int field = static_cast<int>(bits >> 52 & 0x7ff);
  const std::uint64_t n = (bits & (bit(52) - 1)) | (field > 0 ? bit(52) : 0);
  // Without a zero E = 0 is a binade like others: codes are one less than counted from a zero.
  const std::uint64_t without = has_zero(f) ? 0 : 1;
  const int exponent = std::max(field, 1) - 1023, least = 1 - f.bias - static_cast<int>(without);
  // |x| is n 2^(exponent - 52), its neighbours are multiples of 2^(binade - fraction).
  const int binade = std::max(exponent, least);
  int shift = binade - f.fraction - exponent + 52;
  // Codes follow each other as numbers do: a carry leads to the next binade.
  const std::uint64_t first = static_cast<std::uint64_t>(binade - least) << f.fraction;
  std::uint64_t below = first + (shift > 63 ? 0 : n >> shift), step = 1;
  if (!f.subnormals && below < bit(f.fraction)) {  // between 0 and the smallest normal number
    below = 0;
    step = bit(f.fraction);
    shift += f.fraction;
  }
  if (below < without) return 0;
  const std::uint64_t whole = below - first, rest = shift > 63 ? n : n - (whole << shift);
  const bool up = rounds_up(place_at(rest, shift, draw.bits), (below - without) % 2 == 1, negative,
                            rounding, draw);
  return below - without + (up ? step : 0);
}

std::string no_format(std::string_view why) {
  return concat("there is no such floating format: ", why);
}

}  // namespace

bool has_nan(Format f) {
  return f.specials != Specials::none && (f.specials != Specials::ieee || f.fraction > 0);
}
bool has_infinity(Format f) {
  return f.specials == Specials::ieee || f.specials == Specials::p3109;
}

std::uint32_t max_code(Format f) {
  const std::uint64_t all = magnitudes(f);
  return static_cast<std::uint32_t>(f.specials == Specials::ieee ? infinity_code(f) - 1
                                    : f.specials == Specials::nan || f.specials == Specials::p3109
                                        ? all - 2
                                        : all - 1);
}

std::optional<std::string> parse(std::string_view name, std::span<const std::string_view> arguments,
                                 Format& format) {
  const bool p3109 = name.starts_with("binary8p"), unsigned_one = name.starts_with("ue");
  std::int64_t exponent = 0, fraction = 0;
  std::string_view rest = name, suffix;
  if (p3109) {
    std::int64_t precision = 0;
    if (!parse_canonical(name.substr(8), precision)) return std::nullopt;
    if (precision < 1 || precision > 7)
      return concat("binary8pP has a precision P from 1 to 7, got ", precision);
    exponent = 8 - precision;
    fraction = precision - 1;
  } else {
    if (unsigned_one) rest.remove_prefix(1);
    const std::size_t m = rest.find('m');
    if (!rest.starts_with('e') || m == std::string_view::npos) return std::nullopt;
    const std::size_t end = std::min(rest.find_first_not_of("0123456789", m + 1), rest.size());
    suffix = rest.substr(end);
    if (!parse_canonical(rest.substr(1, m - 1), exponent) ||
        !parse_canonical(rest.substr(m + 1, end - m - 1), fraction) ||
        (!suffix.empty() && suffix != "fn" && suffix != "fnuz" && suffix != "ieee"))
      return std::nullopt;
  }
  if (!arguments.empty()) return concat(name, " takes options only");
  try {
    format = Format::floating(exponent, fraction);
  } catch (const ConfigError& error) {
    return error.what();
  }
  if (unsigned_one) {
    format.sign = false;
    format.specials = Specials::nan;
    format.scaling = {};
  } else if (p3109) {
    format.specials = Specials::p3109;
  } else if (suffix == "fnuz") {
    format.specials = Specials::fnuz;
  } else if (!suffix.empty()) {
    format.specials = suffix == "ieee" ? Specials::ieee : Specials::nan;
  }
  if (p3109 || suffix == "fnuz") format.bias = static_cast<std::int16_t>(1 << (exponent - 1));
  return "";
}

std::string print(Format f) {
  if (f.specials == Specials::p3109) return concat("binary8p", f.fraction + 1);
  return concat(f.sign || f.fraction == 0 ? "e" : "ue", int{f.exponent}, 'm', int{f.fraction},
                f.specials == Specials::fnuz ? "fnuz" : "");
}

std::string problem(Format f) {
  if (f.exponent < 1 || f.exponent > 8 || f.fraction > 23)
    return "floating formats have 1 to 8 bits of exponent and 0 to 23 of fraction";
  if (f.width != (f.sign || f.fraction > 0 ? 1 : 0) + f.exponent + f.fraction)
    return no_format("a width is a sign, the exponent and the fraction");
  if (f.underflow) return no_format("underflow is an option of posits");
  if (f.sign ? f.specials == Specials::p3109 && f.width != 8 : f.specials != Specials::nan)
    return no_format("binary8pP has 8 bits, and numbers without a sign have NaN alone");
  const std::uint64_t least = f.subnormals ? 1 : bit(f.fraction);
  if (max_code(f) < least) return no_format("no code is left for a number");
  if (f.overflow == Overflow::nan && !has_nan(f))
    return no_format("overflow=nan needs a NaN, which it has not");
  const int most = static_cast<int>(max_code(f) >> f.fraction) - f.bias;
  if (most > 127 || 1 - f.bias - f.fraction < -149)
    return no_format(
        "its numbers are beyond those of float32, from 2^-149 up to 2^128; offset moves them");
  return "";
}

double unit(Format f) { return std::ldexp(1.0, (has_zero(f) ? 1 : 0) - f.bias - f.fraction); }
double max(Format f) { return static_cast<double>(decode(f, max_code(f))); }

std::uint32_t encode(Format f, double x, Rounding rounding, Draw draw) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t sign = bits >> 63;
  if (std::isnan(x)) return static_cast<std::uint32_t>(nan_code(f, sign));
  if (!f.sign && sign != 0) return 0;
  std::uint64_t code = std::isinf(x) ? 0 : unbounded(f, bits, rounding, draw);
  if (std::isinf(x) || code > max_code(f)) code = beyond(f, sign, std::isinf(x), rounding);
  if (sign == 0 || (code == 0 && !has_negative_zero(f))) return static_cast<std::uint32_t>(code);
  return static_cast<std::uint32_t>(magnitudes(f) | code);
}

float decode(Format f, std::uint32_t code) {
  const std::uint64_t magnitude = code & (magnitudes(f) - 1), exponent = magnitude >> f.fraction,
                      fraction = magnitude & (bit(f.fraction) - 1);
  const bool negative = f.sign && (code >> (f.exponent + f.fraction) & 1) != 0;
  const int binade = static_cast<int>(exponent) - f.bias;
  float value = std::numeric_limits<float>::quiet_NaN();
  if (negative && magnitude == 0 && !has_negative_zero(f)) {
    // the only NaN
  } else if (magnitude > max_code(f)) {
    if (has_infinity(f) && magnitude == infinity_code(f))
      value = std::numeric_limits<float>::infinity();
  } else if (exponent > 0 && binade >= -126) {  // float32's own fields
    value = std::bit_cast<float>(static_cast<std::uint32_t>(binade + 127) << 23 |
                                 static_cast<std::uint32_t>(fraction << (23 - f.fraction)));
  } else if (exponent > 0 || !has_zero(f)) {
    value = static_cast<float>(
        std::ldexp(static_cast<double>(fraction + bit(f.fraction)), binade - f.fraction));
  } else {
    value = static_cast<float>(
        std::ldexp(static_cast<double>(f.subnormals ? fraction : 0), 1 - f.bias - f.fraction));
  }
  return negative ? -value : value;
}

}  // namespace floating

Format Format::floating(std::int64_t exponent, std::int64_t fraction) {
  require<ConfigError>(exponent >= 1 && exponent <= 8 && fraction >= 0 && fraction <= 23 &&
                           (exponent > 1 || fraction <= 6),
                       "[format] floating formats have 1 to 8 bits of exponent (from 2 above 8 "
                       "bits in all) and 0 to 23 of "
                       "fraction, got ",
                       exponent, " and ", fraction);
  const bool e8m0 = exponent == 8 && fraction == 0;  // OCP's format of scales
  const std::int64_t width = (e8m0 ? 0 : 1) + exponent + fraction;
  const bool ocp_e4m3 = exponent == 4 && fraction == 3, ocp_e5m2 = exponent == 5 && fraction == 2;
  return {.kind = Kind::floating,
          .width = static_cast<std::uint8_t>(width),
          .exponent = static_cast<std::uint8_t>(exponent),
          .fraction = static_cast<std::uint8_t>(fraction),
          .specials = ocp_e4m3 || e8m0        ? Specials::nan
                      : width > 8 || ocp_e5m2 ? Specials::ieee
                                              : Specials::none,
          .overflow = width > 8 ? Overflow::ieee : Overflow::saturate,
          .sign = !e8m0,
          .bias = static_cast<std::int16_t>((1 << (exponent - 1)) - 1),
          .scaling = {.kind = width > 8 || e8m0 ? Scaling::Kind::none : Scaling::Kind::absmax}};
}

}  // namespace ebb
