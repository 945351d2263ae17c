// Every codec against the list of its format's numbers: no arithmetic of the code under test, and
// none that rounds. Numbers of up to 16 bits, their sums and halves are exact in double, and so is
// x less the number below it.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/text.h"
#include "quant/formats/codec.h"

using namespace ebb;

namespace {

constexpr std::uint8_t kBits[] = {1, 8, 32};  // of a draw
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Rounding kRoundings[] = {
    Rounding::nearest_even, Rounding::nearest_away, Rounding::toward_zero, Rounding::away,
    Rounding::up,           Rounding::down,         Rounding::odd,         Rounding::stochastic};

/// What a code of a floating format stands for, by the definition; NaN for none.
double floating_value(const Format& f, std::uint32_t code) {
  const std::uint32_t magnitudes = 1u << (f.exponent + f.fraction), magnitude = code % magnitudes,
                      exponent = magnitude >> f.fraction, fraction = magnitude % (1u << f.fraction);
  double value = std::ldexp(fraction, -f.fraction) + (exponent > 0 || !f.sign ? 1 : 0);
  if (f.fraction > 0 && !f.sign && exponent == 0) value -= 1;
  if (!f.subnormals && exponent == 0) value = 0;
  const bool shifts = exponent == 0 && (f.sign || f.fraction > 0);
  value = std::ldexp(value, static_cast<int>(exponent) + (shifts ? 1 : 0) - f.bias);
  const bool negative = f.sign && code / magnitudes % 2 == 1;
  const bool highest = exponent == (1u << f.exponent) - 1, top = magnitude == magnitudes - 1;
  switch (f.specials) {
    case Format::Specials::none: break;
    case Format::Specials::nan: value = top ? std::nan("") : value; break;
    case Format::Specials::ieee:
      if (highest) value = fraction == 0 ? kInfinity : std::nan("");
      break;
    case Format::Specials::p3109: value = top ? kInfinity : value; [[fallthrough]];
    case Format::Specials::fnuz: value = negative && magnitude == 0 ? std::nan("") : value;
  }
  return negative ? -value : value;
}

/// The same of posits, from the string of bits of any width.
double posit_value(int width, int es, std::uint32_t code) {
  const std::uint32_t sign = 1u << (width - 1);
  if (code == 0) return 0;
  if (code == sign) return std::nan("");
  if (code > sign) return -posit_value(width, es, 2 * sign - code);
  std::string bits;
  for (int place = width - 2; place >= 0; --place) bits += code >> place & 1 ? '1' : '0';
  std::size_t run = 1;
  while (run < bits.size() && bits[run] == bits[0]) ++run;
  const int regime = bits[0] == '1' ? static_cast<int>(run) - 1 : -static_cast<int>(run);
  bits = run < bits.size() ? bits.substr(run + 1) : "";
  bits.append(static_cast<std::size_t>(es), '0');  // those that are cut off
  int exponent = 0;
  for (int i = 0; i < es; ++i) exponent = 2 * exponent + (bits[static_cast<std::size_t>(i)] - '0');
  double value = 1, weight = 1;
  for (const char c : bits.substr(static_cast<std::size_t>(es))) value += (weight /= 2) * (c - '0');
  return std::ldexp(value, regime * (1 << es) + exponent);
}

double value_of(const Format& f, std::uint32_t code) {
  if (f.kind == Format::Kind::floating) return floating_value(f, code);
  if (f.kind == Format::Kind::posit) return posit_value(f.width, f.exponent, code);
  const std::uint32_t sign = 1u << (f.width - 1);
  return std::ldexp(static_cast<double>(code) - (code >= sign ? 2.0 * sign : 0), -f.fraction);
}

/// The numbers of a format that are not negative, ascending, and what is between and beyond them.
struct Ladder {
  struct Rung {
    double number;
    std::uint32_t code;
  };
  static constexpr std::uint32_t kNone = ~0u;
  Format format;
  std::vector<Rung> rungs;
  std::uint32_t infinity = kNone, nan = kNone;  // the first codes of these

  explicit Ladder(const Format& f) : format(f) {
    for (std::uint32_t code = 0; code < 1u << f.width; ++code) {
      const double number = value_of(f, code);
      if (number == kInfinity && infinity == kNone) infinity = code;
      if (std::isnan(number) && nan == kNone) nan = code;
      if (std::isfinite(number) && (rungs.empty() || number > rungs.back().number))
        rungs.push_back({number, code});
    }
  }
  [[nodiscard]] bool is_posit() const { return format.kind == Format::Kind::posit; }
  [[nodiscard]] double max() const { return rungs.back().number; }
  /// The number that would follow the largest.
  [[nodiscard]] double next() const {
    const double max = this->max();
    return max + (format.kind == Format::Kind::fixed
                      ? std::ldexp(1.0, -format.fraction)
                      : std::ldexp(1.0, std::ilogb(max) - format.fraction));
  }
  [[nodiscard]] double middle(std::size_t i) const {
    if (i + 1 == rungs.size()) return (max() + next()) / 2;
    if (!is_posit()) return (rungs[i].number + rungs[i + 1].number) / 2;
    return posit_value(format.width + 1, format.exponent, 2 * rungs[i].code + 1);
  }
};

/// The code of x, found among the rungs.
std::uint32_t expected(const Ladder& ladder, double x, Rounding rounding, Draw draw) {
  const Format& f = ladder.format;
  const std::uint32_t sign = 1u << (f.width - 1);
  const bool negative = std::signbit(x), posit = ladder.is_posit();
  const double m = std::abs(x);
  if (posit && !std::isfinite(x)) return sign;
  if (!f.sign && negative) return 0;
  const auto rungs = static_cast<std::ptrdiff_t>(ladder.rungs.size());
  std::ptrdiff_t i =
      std::upper_bound(ladder.rungs.begin(), ladder.rungs.end(), m,
                       [](double a, const Ladder::Rung& b) { return a < b.number; }) -
      ladder.rungs.begin() - 1;
  const double low = i < 0 ? 0 : ladder.rungs[static_cast<std::size_t>(i)].number;
  if (i < 0) i = 0;  // below the smallest number of a format without zero
  const bool lowest = i == rungs - 1 && f.kind == Format::Kind::fixed && negative &&
                      f.scaling.kind == Scaling::Kind::none;
  bool infinite = std::isinf(x);
  if (!infinite && m != low && m > ladder.rungs[0].number) {
    const auto at = static_cast<std::size_t>(i);
    const double high = i + 1 < rungs ? ladder.rungs[at + 1].number : ladder.next(),
                 middle = ladder.middle(at);
    const bool odd = ladder.rungs[at].code % 2 == 1;
    const double share = std::nearbyint(std::ldexp((m - low) / (high - low), draw.bits));
    const double drawn = std::floor(std::ldexp(draw.word, draw.bits - 32));
    bool up = false;
    switch (rounding) {
      case Rounding::nearest_even: up = m > middle || (m == middle && odd); break;
      case Rounding::nearest_away: up = m >= middle; break;
      case Rounding::toward_zero: break;
      case Rounding::away: up = true; break;
      case Rounding::up: up = !negative; break;
      case Rounding::down: up = negative; break;
      case Rounding::odd: up = !odd; break;
      case Rounding::stochastic: up = share + drawn >= std::ldexp(1.0, draw.bits);
    }
    if (i + 1 == rungs && rounding == Rounding::odd) up = false;  // stays finite
    if (lowest && m >= high) {
      up = true;  // or at the lowest code itself
    } else if (i + 1 == rungs && m >= high)
      up = rounding == Rounding::stochastic || rounding == Rounding::nearest_even ||
           rounding == Rounding::nearest_away || rounding == Rounding::away ||
           rounding == (negative ? Rounding::down : Rounding::up);
    if (posit) up = (up && i + 1 < rungs) || (i == 0 && !f.underflow);
    i += up ? 1 : 0;
  }
  if (lowest && (infinite || i == rungs)) return sign;
  std::uint32_t code = 0;
  if (infinite || i == rungs) {
    const std::uint32_t infinity = ladder.infinity;
    if (f.overflow == Format::Overflow::saturate ||
        (infinity == Ladder::kNone && f.overflow == Format::Overflow::ieee)) {
      code = ladder.rungs.back().code;
    } else if (infinity != Ladder::kNone && (infinite || f.overflow == Format::Overflow::ieee)) {
      code = infinity;
    } else {
      code = f.specials == Format::Specials::ieee ? infinity | 1u << (f.fraction - 1) : ladder.nan;
    }
  } else {
    code = ladder.rungs[static_cast<std::size_t>(i)].code;
  }
  if (!negative) return code;
  if (f.kind != Format::Kind::floating) return (2 * sign - code) % (2 * sign);
  const bool no_negative_zero =
      f.specials == Format::Specials::fnuz || f.specials == Format::Specials::p3109;
  return code == 0 && no_negative_zero ? 0 : code | sign;
}

double neighbour(double x, bool up) {
  const auto y = static_cast<float>(x);
  return static_cast<double>(std::nextafter(
      y, up ? std::numeric_limits<float>::infinity() : -std::numeric_limits<float>::infinity()));
}

/// Whatever may be rounded wrongly: numbers, middles, their neighbours in float32 and in double.
std::set<double> interesting(const Ladder& ladder, std::size_t step = 1) {
  std::set<double> all{0.0,      0x1p-149, 0x1p-1074, 0x1p-60, 0x1p127,  0x1.fffffep127,
                       0x1p1000, 1e-9,     3.3,       37,      kInfinity};
  for (std::size_t i = 0; i < ladder.rungs.size(); i += step) {
    const double number = ladder.rungs[i].number, middle = ladder.middle(i);
    for (const double x : {number, middle}) {
      for (const bool up : {false, true}) all.insert(std::abs(neighbour(x, up)));
      all.insert({x, std::nextafter(x, 0.0), std::nextafter(x, kInfinity)});
    }
    all.insert(number + (middle - number) / 4);
  }
  all.insert({ladder.next(), 2 * ladder.next()});
  return all;
}

/// How many codes are not what they should be; says of the first what it was.
int wrong_codes(const Ladder& ladder, double x, Rounding rounding, Draw draw = {}) {
  int wrong = 0;
  for (const double signed_x : {x, -x}) {
    const std::uint32_t want = expected(ladder, signed_x, rounding, draw),
                        got = traits_of(ladder.format)
                                  .encode(ladder.format, signed_x, rounding, draw);
    if (got == want) continue;
    if (++wrong == 1)
      MESSAGE(to_text(ladder.format), ' ', signed_x, ' ', to_text(rounding), ' ', draw.word, '/',
              int{draw.bits}, ": ", got, " instead of ", want);
  }
  return wrong;
}

void check_all(const Format& format, std::size_t step = 1) {
  const Ladder ladder(format);
  int wrong = 0;
  for (const double x : interesting(ladder, step)) {
    for (const Rounding rounding : kRoundings) {
      if (rounding != Rounding::stochastic) {
        wrong += wrong_codes(ladder, x, rounding);
        continue;
      }
      for (const std::uint32_t word :
           {0u, 1u, 0x3fffffffu, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
        for (const std::uint8_t bits : kBits)
          wrong += wrong_codes(ladder, x, rounding, {word, bits});
      }
    }
    if (wrong > 0) break;
  }
  CHECK(wrong == 0);
}

std::vector<std::string> narrow_formats() {
  std::vector<std::string> names;
  for (int exponent = 1; exponent <= 7; ++exponent) {
    for (int fraction = 0; exponent + fraction <= 7; ++fraction)
      names.push_back(concat('e', exponent, 'm', fraction));
  }
  for (const char* name : {"e4m3(overflow=nan)",
                           "e4m3(overflow=ieee)",
                           "e5m2(overflow=ieee)",
                           "e5m2(overflow=nan)",
                           "e4m3ieee",
                           "e4m3ieee(overflow=ieee)",
                           "e4m3fnuz",
                           "e4m3fnuz(overflow=nan)",
                           "e5m2fnuz",
                           "binary8p1",
                           "binary8p3",
                           "binary8p4(overflow=ieee)",
                           "binary8p7",
                           "e4m3(bias=11,nan=no)",
                           "e4m3(subnormals=no)",
                           "e5m2(subnormals=no,overflow=ieee)",
                           "e3m2(subnormals=no)",
                           "e3m0(subnormals=no)",
                           "e2m5(offset=-3)",
                           "e8m0",
                           "ue4m3",
                           "fixed8.6",
                           "fixed8.6(scale=absmax)",
                           "fixed8.0",
                           "fixed5.5",
                           "fixed2.1",
                           "mxint8"})
    names.emplace_back(name);
  return names;
}

}  // namespace

TEST_CASE("every code of the formats of up to 16 bits stands for what its definition says") {
  std::vector<std::string> names = narrow_formats();
  for (const char* name : {"bf16", "fp16", "e2m9", "e6m5", "e8m1", "e6m9(nan=no)",
                           "bf16(subnormals=no)", "fixed16.9", "fixed11.11"})
    names.emplace_back(name);
  for (int es = 0; es <= 3; ++es) {
    for (const int width : {2, 3, 5, 6, 8, 9, 12, 16})
      names.push_back(concat("posit(", width, ',', es, ')'));
  }
  for (const std::string& name : names) {
    CAPTURE(name);
    const Format f = Format::parse(name);
    const FormatTraits& traits = traits_of(f);
    int wrong = 0;
    for (std::uint32_t code = 0; code < 1u << f.width; ++code) {
      const double want = value_of(f, code), got = static_cast<double>(traits.decode(f, code));
      const bool same = std::isnan(want) ? std::isnan(got)
                                         : got == want && std::signbit(got) == std::signbit(want);
      const bool unused = !f.sign && f.fraction > 0 && code >= 1u << (f.width - 1);
      const bool kept = unused || std::isnan(want) || (want == 0 && !f.subnormals) ||
                        (f.scaling.kind != Scaling::Kind::none && f.kind == Format::Kind::fixed) ||
                        (std::isinf(want) && f.overflow == Format::Overflow::saturate) ||
                        traits.encode(f, want, Rounding::nearest_even, {}) == code;
      wrong += same && kept ? 0 : 1;
    }
    CHECK(wrong == 0);
    CHECK(traits.max(f) == Ladder(f).max());
  }
}

TEST_CASE("formats of up to 8 bits round every number, middle and neighbour as rationals say") {
  for (const std::string& name : narrow_formats()) {
    CAPTURE(name);
    check_all(Format::parse(name));
  }
}

TEST_CASE("posits round strings of bits, under every rounding") {
  for (int es = 0; es <= 3; ++es) {
    for (const int width : {2, 3, 5, 6, 8}) {
      for (const char* underflow : {"no", "yes"}) {
        const std::string name = concat("posit(", width, ',', es, ",underflow=", underflow, ')');
        CAPTURE(name);
        check_all(Format::parse(name));
      }
    }
  }
}

TEST_CASE("16-bit formats round every number and middle, and random numbers") {
  for (const std::string name : {"bf16", "fp16", "e6m9(nan=no)", "bf16(overflow=saturate)",
                                 "posit(16,1)", "posit16", "fixed16.9"}) {
    CAPTURE(name);
    const Ladder ladder(Format::parse(name));
    int wrong = 0;
    for (const double x : interesting(ladder))
      wrong += wrong_codes(ladder, x, Rounding::nearest_even);
    CHECK(wrong == 0);
    check_all(ladder.format, 97);
    for (std::uint64_t i = 0; i < 20'000 && wrong == 0; ++i) {
      const std::uint64_t bits = Key(11).bits(i);
      const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(bits) & 0x7fffffffu);
      if (std::isnan(x)) continue;
      wrong += wrong_codes(ladder, static_cast<double>(x), kRoundings[i % 8],
                           {static_cast<std::uint32_t>(bits >> 32)});
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("sums and products of posits are those of rationals, rounded once") {
  for (int es = 0; es <= 2; ++es) {
    const Format f = Format::posit(8, es);
    const Ladder ladder(f);
    int wrong = 0;
    for (std::uint32_t a = 0; a < 256; a += es == 2 ? 1 : 3) {
      for (std::uint32_t b = 0; b < 256; ++b) {
        const double x = value_of(f, a), y = value_of(f, b);
        if (std::isnan(x) || std::isnan(y)) continue;
        // Up to 24 binades above and below 1 and 4 bits: both are exact in double.
        for (const double result : {x + y, x * y})
          wrong += expected(ladder, result, Rounding::nearest_even, {}) ==
                           traits_of(f).encode(f, result, Rounding::nearest_even, {})
                       ? 0
                       : 1;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("posits of the tables") {
  struct Case {
    double x;
    std::uint32_t codes[5];  // of (8,0), (8,1), (8,2), (16,1) and (16,2)
  };
  const Format formats[] = {Format::posit(8, 0), Format::posit(8, 1), Format::posit(8, 2),
                            Format::posit(16, 1), Format::posit(16, 2)};
  const Case cases[] = {{0.1, {0x06, 0x15, 0x25, 0x14cd, 0x24cd}},
                        {0.3, {0x13, 0x23, 0x32, 0x2333, 0x319a}},
                        {-1.0 / 3, {0xeb, 0xdb, 0xcd, 0xdaab, 0xcd55}},
                        {1, {0x40, 0x40, 0x40, 0x4000, 0x4000}},
                        {3, {0x68, 0x58, 0x4c, 0x5800, 0x4c00}},
                        {3.3, {0x6a, 0x5a, 0x4d, 0x5a66, 0x4d33}},
                        {100, {0x7f, 0x79, 0x6a, 0x7920, 0x6a40}},
                        {-1000, {0x81, 0x82, 0x8c, 0x820c, 0x8c18}},
                        {1e-9, {0x01, 0x01, 0x01, 0x0001, 0x0061}},
                        {kInfinity, {0x80, 0x80, 0x80, 0x8000, 0x8000}}};
  for (const Case& c : cases) {
    CAPTURE(c.x);
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(traits_of(formats[i]).encode(formats[i], c.x, {}, {}) == c.codes[i]);
  }
  // The middle between 2^20 and 2^24 is 2^22, the number of the code of 2^20 with a 1 behind it.
  const Format posit8 = Format::posit(8, 2);
  CHECK(traits_of(posit8).encode(posit8, 0x1p22, {}, {}) == 0x7e);
  CHECK(traits_of(posit8).encode(posit8, 0x1p22 + 1, {}, {}) == 0x7f);
  const Format small = Format::parse("posit(5,2,underflow=yes)");
  CHECK(traits_of(small).encode(small, 0x1p-16, {}, {}) == 0);
  CHECK(traits_of(small).encode(small, 0x1.8p-16, {}, {}) == 1);
}

TEST_CASE("what is too large, by format and rounding: the thresholds") {
  struct Case {
    const char* format;
    double x, number;
    Rounding rounding = Rounding::nearest_even;
  };
  const double above464 = neighbour(464, true);
  const double bf16_max = (2 - 0x1p-7) * 0x1p127, bf16_end = (2 - 0x1p-8) * 0x1p127;
  const Case cases[] = {{"e4m3(overflow=nan)", 464, 448},
                        {"e4m3(overflow=nan)", above464, std::nan("")},
                        {"e4m3(overflow=ieee)", above464, 448},
                        {"e4m3", kInfinity, 448},
                        {"e5m2(overflow=ieee)", neighbour(61440, false), 57344},
                        {"e5m2(overflow=ieee)", 61440, kInfinity},
                        {"e5m2", 61440, 57344},
                        {"bf16", neighbour(bf16_end, false), bf16_max},
                        {"bf16", bf16_end, kInfinity},
                        {"bf16", 0x1.fffffep127, bf16_max, Rounding::toward_zero},
                        {"bf16", kInfinity, kInfinity, Rounding::toward_zero},
                        {"fp16", 65519.99, 65504},
                        {"fp16", 65520, kInfinity},
                        {"fp16", 1e30, 65504, Rounding::toward_zero},
                        {"fp16", 1e30, 65504, Rounding::down},
                        {"fp16", 65505, kInfinity, Rounding::up},
                        {"e2m1", 1e9, 6},
                        {"e4m3(inf=no,nan=no,offset=4)", 31, 30},
                        {"e4m3(inf=no,nan=no,offset=4)", 0x1p-14, 0},
                        {"e4m3(inf=no,nan=no,offset=4)", 0x1.8p-14, 0x1p-13},
                        {"e6m9(inf=no,nan=no)", 1e30, 0x1p32 * (2 - 0x1p-9)},
                        {"e4m3ieee", 1e9, 240},
                        {"e4m3fnuz", 1e9, 240},
                        {"e4m3", 1.0625 + 0x1p-20, 1.125}};  // by way of bf16 it would be 1
  for (const Case& c : cases) {
    CAPTURE(c.format);
    CAPTURE(c.x);
    const Format f = Format::parse(c.format);
    const auto got =
        static_cast<double>(traits_of(f).decode(f, traits_of(f).encode(f, c.x, c.rounding, {})));
    CHECK((got == c.number || (std::isnan(got) && std::isnan(c.number))));
  }
}
