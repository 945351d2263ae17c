#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "quant/formats/codec.h"
#include "quant/formats/floating.h"
#include "quant/formats/grid.h"

using namespace ebb;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::uint32_t nearest(const Format& f, double x) { return floating::encode(f, x, {}, {}); }

std::uint32_t negative(const Format& f, std::uint32_t code) { return code | 1u << (f.width - 1); }

std::vector<Format> narrow_formats() {
  std::vector<Format> formats;
  for (int exponent = 1; exponent <= 7; ++exponent) {
    for (int fraction = 0; exponent + fraction <= 7; ++fraction)
      formats.push_back(Format::floating(exponent, fraction));
  }
  return formats;
}

}  // namespace

TEST_CASE("the formats of the tables: largest number, smallest ones, specials") {
  struct Case {
    const char* name;
    int width;
    double max, normal, subnormal;
    std::uint32_t max_code;
    double beyond;  // what is far beyond the largest becomes
  };
  const Case cases[] = {
      {"bf16", 16, (2 - 0x1p-7) * 0x1p127, 0x1p-126, 0x1p-133, 0x7f7f, kInfinity},
      {"fp16", 16, 65504, 0x1p-14, 0x1p-24, 0x7bff, kInfinity},
      {"tf32", 19, (2 - 0x1p-10) * 0x1p127, 0x1p-126, 0x1p-136, 0x3fbff, kInfinity},
      {"fp32", 32, (2 - 0x1p-23) * 0x1p127, 0x1p-126, 0x1p-149, 0x7f7fffff, kInfinity},
      {"e4m3", 8, 448, 0x1p-6, 0x1p-9, 0x7e, 448},
      {"e5m2", 8, 57344, 0x1p-14, 0x1p-16, 0x7b, 57344},
      {"e3m2", 6, 28, 0x1p-2, 0x1p-4, 0x1f, 28},
      {"e2m3", 6, 7.5, 1, 0x1p-3, 0x1f, 7.5},
      {"e2m1", 4, 6, 1, 0.5, 0x7, 6}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Format f = Format::parse(c.name);
    CHECK(int{f.width} == c.width);
    CHECK(floating::max(f) == c.max);
    CHECK(nearest(f, c.max) == c.max_code);
    CHECK(static_cast<double>(floating::decode(f, 1u << f.fraction)) == c.normal);
    CHECK(static_cast<double>(floating::decode(f, 1)) == c.subnormal);
    CHECK(static_cast<double>(floating::decode(f, nearest(f, 1e300))) == c.beyond);
    CHECK(static_cast<double>(floating::decode(f, nearest(f, -kInfinity))) == -c.beyond);
    CHECK(nearest(f, -0.0) == 1u << (f.width - 1));
  }
}

TEST_CASE("float32 itself is exact, subnormals included") {
  const Format f = Format::fp32();
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const auto code = static_cast<std::uint32_t>(Key(7).bits(i));
    const auto x = std::bit_cast<float>(i % 4 == 0 ? code & 0x807fffff : code);
    if (std::isnan(x)) continue;
    const auto bits = std::bit_cast<std::uint32_t>(x);
    CHECK(nearest(f, static_cast<double>(x)) == bits);
    CHECK(std::bit_cast<std::uint32_t>(floating::decode(f, bits)) == bits);
  }
}

TEST_CASE("stochastic rounding goes up with the probability of its place between two numbers") {
  struct Case {
    const char* why;
    const char* format;
    double x;
    std::uint32_t below;  // code of the number below
    double up;            // probability of the one above
  };
  const Case cases[] = {{"a number stays", "e4m3", 1.125, 0x39, 0},
                        {"a quarter of the way", "e4m3", 1.03125, 0x38, 0.25},
                        {"half of it", "bf16", 1 + 0x1p-8, 0x3f80, 0.5},
                        {"below the smallest number", "e4m3", 0x1p-10, 0, 0.5},
                        {"far below it", "e2m1", 0x1p-31, 0, 0x1p-30},
                        {"nearer to it than 32 bits see", "e2m1", 0x1p-60, 0, 0},
                        {"across a binade", "e2m1", 3.5, 5, 0.5},
                        {"beyond the largest number", "e2m1", 1e9, 7, 0},
                        {"an eighth, of a format wider", "fp16", 1 + 0x1p-13, 0x3c00, 0.125}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Format f = Format::parse(c.format);
    // Up for the highest draws: u >= 2^32 (1 - up).
    const auto code = [&](double x, std::uint64_t u) {
      return floating::encode(f, x, Rounding::stochastic, {static_cast<std::uint32_t>(u)});
    };
    const auto first_up = static_cast<std::uint64_t>(0x1p32 * (1 - c.up));
    CHECK(code(c.x, 0) == c.below);
    CHECK(code(c.x, first_up - 1) == c.below);
    CHECK(code(-c.x, first_up - 1) == negative(f, c.below));
    if (c.up == 0) continue;
    CHECK(code(c.x, first_up) == c.below + 1);
    CHECK(code(c.x, 0xffffffff) == c.below + 1);
    CHECK(code(-c.x, first_up) == negative(f, c.below + 1));
  }
}

TEST_CASE("a scale brings the largest magnitude to the largest number where the format has one") {
  struct Case {
    const char* format;
    Range range;
    float scale;
  };
  const Case cases[] = {{"e4m3", {-3, 1}, 3.0f / 448.0f},
                        {"e2m1", {0, 12}, 2},
                        {"e4m3", {0, 0}, 1},
                        {"bf16", {-3, 1}, 1},
                        {"e5m2", {0, 1e-44f}, std::numeric_limits<float>::denorm_min()},
                        // 7.9 is in the binade of 4, that of the largest number, 6.
                        {"e2m1(scale=pow2)", {-7.9f, 1}, 1},
                        {"e2m1(scale=pow2,rule=ceil)", {-7.9f, 1}, 2},
                        {"e2m1(scale=pow2,rule=ceil)", {-4, 1}, 1},
                        {"e2m1(scale=pow2,rule=even)", {-6.9f, 1}, 1},
                        {"e2m1(scale=pow2,rule=even)", {-7, 1}, 2},
                        {"e2m1(scale=pow2,rule=rceil)", {-6, 1}, 1},
                        {"e2m1(scale=pow2,rule=rceil)", {-6.1f, 1}, 2},
                        {"e4m3(scale=e8m0)", {0, 1e-44f}, 0x1p-127f},
                        {"e4m3(scale=pow2,exponent=4)", {0, 1e30f}, 128},
                        {"fixed8.6(scale=pow2)", {0, 3}, 2}};
  for (const Case& c : cases) CHECK(fit_scale(Format::parse(c.format), c.range) == c.scale);
  const float largest = std::numeric_limits<float>::max();
  for (const Format& f : narrow_formats()) {
    CAPTURE(to_text(f));
    const float scale = fit_scale(f, {-largest, 0});
    const std::uint32_t code = encode(f, -largest, scale, Rounding::nearest_even, Key(1), 0);
    CHECK(std::isfinite(decode(f, code, scale)));
    CHECK(decode(f, code, scale) <= -0.999f * largest);
  }
  CHECK_THROWS_AS(fit_scale(Format::parse("e4m3"), {0, std::nanf("")}), NonFiniteError);
}

TEST_CASE("round_to keeps what a format holds, and draws by element") {
  const auto to = [](const char* format, float x, Rounding rounding = {}, std::uint64_t i = 0) {
    return round_to(Format::parse(format), x, rounding, Key(3), i);
  };
  struct Case {
    const char* format;
    float x, y;
  };
  const float infinity = std::numeric_limits<float>::infinity();
  const Case cases[] = {{"fp32", 0.1f, 0.1f},        {"bf16", 1.01f, 1.0078125f},
                        {"bf16", 1e-40f, 0x1p-133f}, {"tf32", 1 + 0x1p-11f, 1},
                        {"fp16", 1e6f, infinity},    {"e4m3", infinity, 448},
                        {"e4m3", -0.0f, -0.0f}};
  for (const Case& c : cases) {
    CAPTURE(c.format);
    CHECK(std::bit_cast<std::uint32_t>(to(c.format, c.x)) == std::bit_cast<std::uint32_t>(c.y));
  }
  int up = 0;
  constexpr int draws = 10'000;
  for (std::uint64_t i = 0; i < draws; ++i) {
    const float y = to("bf16", 1 + 0x1p-9f, Rounding::stochastic, i);
    CHECK((y == 1 || y == 1 + 0x1p-7f));
    up += y > 1 ? 1 : 0;
    CHECK(to("bf16", 1 + 0x1p-9f, Rounding::stochastic, i) == y);
  }
  CHECK(std::abs(up - draws / 4) < 4 * std::sqrt(draws * 0.25 * 0.75));  // four sigma
  CHECK_THROWS_AS(to("bf16", std::nanf("")), NonFiniteError);
  CHECK_THROWS_WITH_AS(to("int8", 1),
                       "[round_to] int8 needs a grid; expected fp32 or a format with a codec",
                       ConfigError);
}
