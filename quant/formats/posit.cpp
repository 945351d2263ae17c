#include "quant/formats/posit.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/math.h"
#include "core/read_number.h"
#include "quant/formats/rounding.h"

namespace ebb {
namespace posit {
namespace {

std::uint32_t bit(int place) { return std::uint32_t{1} << place; }

/// The magnitude that a code below 2^(width - 1) stands for.
double magnitude_of(Format format, std::uint32_t code) {
  if (code == 0) return 0;
  const int body = format.width - 1;  // bits behind the sign
  const bool ones = (code >> (body - 1) & 1) != 0;
  const std::uint32_t run_bits = (ones ? ~code : code) << (32 - body);  // a 1 ends the regime
  const int run = std::min(std::countl_zero(run_bits), body);
  const int left = std::max(0, body - run - 1), regime = ones ? run - 1 : -run;
  const int exponent_bits = std::min<int>(left, format.exponent), fraction = left - exponent_bits;
  const std::uint32_t tail = code & (bit(left) - 1);
  // Bits that are cut off are zeros.
  const auto exponent = static_cast<int>(tail >> fraction << (format.exponent - exponent_bits));
  const std::uint32_t significand = (tail & (bit(fraction) - 1)) | bit(fraction);
  return std::ldexp(significand, regime * (1 << format.exponent) + exponent - fraction);
}

/// rest / distance as a share of a Draw.
std::uint64_t share_of(double rest, double distance, int bits) {
  int exponent = 0;
  std::frexp(distance, &exponent);
  // x has at most 8 binades less than the distance, and 53 bits: both are whole multiples of this.
  const auto whole = [&](double x) {
    return static_cast<uint128>(static_cast<std::uint64_t>(std::ldexp(x, 60 - exponent)));
  };
  const uint128 n = whole(rest) << bits, d = whole(distance), below = n / d, left = n - below * d;
  const bool up = 2 * left > d || (2 * left == d && below % 2 == 1);
  return static_cast<std::uint64_t>(below) + (up ? 1 : 0);
}

/// The code of a magnitude below minpos.
std::uint32_t encode_tiny(Format format, double x, bool negative, Rounding rounding, Draw draw) {
  if (!format.underflow) return 1;
  const double minpos = unit(format), middle = std::ldexp(minpos, -(1 << format.exponent));
  Place place{.exact = false, .side = x < middle ? -1 : x > middle ? 1 : 0};
  if (rounding == Rounding::stochastic)
    place.share =
        static_cast<std::uint64_t>(math::round_half_even(std::ldexp(x / minpos, draw.bits)));
  return rounds_up(place, false, negative, rounding, draw) ? 1 : 0;
}

/// Of a magnitude between minpos and maxpos.
std::uint32_t encode_magnitude(Format format, double x, bool negative, Rounding rounding,
                               Draw draw) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const int exponent = static_cast<int>(bits >> 52) - 1023, es = format.exponent;
  const int regime = exponent >> es;  // rounds down
  // The string of bits behind the sign: regime, exponent and the 52 bits of x's fraction.
  const int run = regime >= 0 ? regime + 1 : -regime;
  const auto tail = static_cast<uint128>(exponent - (regime << es)) << 52 |
                    (bits & ((std::uint64_t{1} << 52) - 1));
  const uint128 head = regime >= 0 ? ((static_cast<uint128>(1) << run) - 1) << 1 : 1;
  const uint128 body = head << (es + 52) | tail;
  const int cut = run + 1 + es + 52 - (format.width - 1);
  const auto below = static_cast<std::uint32_t>(body >> cut);
  const uint128 rest = body - (static_cast<uint128>(below) << cut), half = static_cast<uint128>(1)
                                                                           << (cut - 1);
  Place place{.exact = rest == 0, .side = rest < half ? -1 : rest > half ? 1 : 0};
  if (rounding == Rounding::stochastic && !place.exact) {
    const double low = magnitude_of(format, below), high = magnitude_of(format, below + 1);
    place.share = share_of(x - low, high - low, draw.bits);
  }
  return below + (rounds_up(place, below % 2 == 1, negative, rounding, draw) ? 1 : 0);
}

}  // namespace

std::optional<std::string> parse(std::string_view name, std::span<const std::string_view> arguments,
                                 Format& format) {
  if (name != "posit") return std::nullopt;
  std::int64_t width = 0, es = 0;
  if (arguments.size() != 2 || !parse_canonical(arguments[0], width) ||
      !parse_canonical(arguments[1], es))
    return "posit needs its width and es, as in posit(8,1)";
  try {
    format = Format::posit(width, es);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string print(Format format) {
  return concat("posit(", int{format.width}, ',', int{format.exponent}, ')');
}

std::string problem(Format format) {
  const std::string width = to_text(int{format.width}), es = to_text(int{format.exponent});
  Format plain{};
  std::string wrong = *parse("posit", std::array<std::string_view, 2>{width, es}, plain);
  if (!wrong.empty()) return wrong;
  plain.underflow = format.underflow;
  plain.scaling = format.scaling;
  return plain == format ? "" : "a posit is a width, es, underflow and scale alone";
}

double max(Format format) { return std::ldexp(1.0, (format.width - 2) << format.exponent); }
double unit(Format format) { return 1 / max(format); }

std::uint32_t encode(Format format, double x, Rounding rounding, Draw draw) {
  if (!std::isfinite(x)) return bit(format.width - 1);  // NaR
  if (x == 0) return 0;
  const bool negative = x < 0;
  const double magnitude = std::abs(x);
  const std::uint32_t code = magnitude >= max(format) ? bit(format.width - 1) - 1
                             : magnitude < unit(format)
                                 ? encode_tiny(format, magnitude, negative, rounding, draw)
                                 : encode_magnitude(format, magnitude, negative, rounding, draw);
  return negative ? (bit(format.width) - code) & (bit(format.width) - 1) : code;
}

float decode(Format format, std::uint32_t code) {
  const std::uint32_t sign = bit(format.width - 1);
  code &= 2 * sign - 1;
  if (code == sign) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(code < sign ? magnitude_of(format, code)
                                        : -magnitude_of(format, 2 * sign - code));
}

}  // namespace posit

Format Format::posit(std::int64_t width, std::int64_t es) {
  require<ConfigError>(width >= 2 && width <= 16 && es >= 0 && es <= 3,
                       "[format] posits have 2 to 16 bits and es from 0 to 3, got ", width, " and ",
                       es);
  return {.kind = Kind::posit,
          .width = static_cast<std::uint8_t>(width),
          .exponent = static_cast<std::uint8_t>(es),
          .fraction = 0,
          .specials = Specials::nan,
          .overflow = Overflow::saturate,
          .bias = 0};
}

}  // namespace ebb
