#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "quant/formats/grid.h"

using namespace ebb;

namespace {

constexpr float kTiny = std::numeric_limits<float>::denorm_min();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// (x - offset) / scale by the definition. Rounding a double sum or quotient of two floats to float
/// is the float operation: 53 bits are more than 2 * 24 + 1.
float quotient(float x, const Grid& grid) {
  const auto difference = static_cast<float>(double{x} - double{grid.offset});
  return static_cast<float>(double{difference} / double{grid.scale});
}

/// The code nearest to v, found by trying: the first and last code, and those beside v; of two
/// equally near ones the even one.
int nearest_code(float v, const Grid& grid) {
  int best = v < 0 ? grid.low() : grid.high();
  if (v <= static_cast<float>(grid.low()) || v >= static_cast<float>(grid.high()))
    return v > 0 ? grid.high() : grid.low();
  for (int code = static_cast<int>(v) - 1; code <= static_cast<int>(v) + 1; ++code) {
    const double distance = std::abs(double{v} - code), least = std::abs(double{v} - best);
    if (distance < least || (distance == least && code % 2 == 0)) best = code;
  }
  return best;
}

/// Ranges of every size and position, among them some whose scale is subnormal.
Range random_range(Key key, std::uint64_t i) {
  const auto value = [&](std::uint64_t j) {
    return static_cast<float>(std::ldexp(key.uniform(8 * i + j) - 0.5,
                                         static_cast<int>(key.below(8 * i + j + 1, 250)) - 130));
  };
  const float a = value(0), b = key.below(8 * i + 4, 2) == 0 ? a + std::abs(value(2)) : value(2);
  return {std::min(a, b), std::max(a, b)};
}

/// Holds the codes of every SIMD level, in one container, against the definition of single codes.
template <class Code>
void check_runs(const std::vector<float>& x, const Grid& grid, Rounding rounding) {
  const Key key(7);
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<Code> expected(x.size()), got(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int code = rounding == Rounding::stochastic
                         ? encode(x[i], grid, rounding_bits(key, 256 + i))
                         : encode(x[i], grid);
    expected[i] = static_cast<Code>(code - grid.centre());
  }
  for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
    if (simd > best_simd()) continue;
    encode_run(x.data(), n, grid, rounding, key, 256, simd, got.data());
    CAPTURE(n);
    CAPTURE(grid.bits);
    CHECK(got == expected);
  }
}

}  // namespace

TEST_CASE("a grid ends in finite numbers where float32 ends") {
  constexpr float kMax = std::numeric_limits<float>::max();
  const float below = std::nextafter(kMax, 0.0f);
  const Range ranges[] = {{0, kMax},       {-kMax, 0},   {1e38f, kMax},       {2.9e38f, kMax},
                          {-1e30f, kMax},  {0, below},   {-below, 1},         {1e31f, below},
                          {below, kMax},   {0, 3.4e38f}, {-1.7e38f, 1.7e38f}, {-kMax, -1e38f},
                          {3e38f, 3.1e38f}};
  for (const Range& range : ranges) {
    for (int bits = 1; bits <= 16; ++bits) {
      for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric}) {
        if (style == GridStyle::symmetric && bits == 1) continue;
        CAPTURE(range.min);
        CAPTURE(range.max);
        CAPTURE(bits);
        const Grid grid = Grid::fit(range, bits, style);
        for (const float x : {range.min, range.max}) {
          const float back = decode(encode(x, grid), grid);
          CHECK(std::isfinite(back));
          // A half of the scale, and three roundings of numbers up to the largest.
          CHECK(std::abs(double{back} - double{x}) <=
                0.5 * double{grid.scale} + 3 * std::ldexp(1.0, 103));
        }
        CHECK(std::isfinite(decode(grid.low(), grid)));
        CHECK(std::isfinite(decode(grid.high(), grid)));
      }
    }
  }
  for (const float end : {kMax, -kMax}) {  // both directions of a symmetric grid
    for (int bits = 2; bits <= 16; ++bits)
      CHECK(std::isfinite(decode(encode(end, Grid::fit({-kMax, kMax}, bits, GridStyle::symmetric)),
                                 Grid::fit({-kMax, kMax}, bits, GridStyle::symmetric))));
  }
}

TEST_CASE("encode rounds to the nearest code, ties to even, and saturates") {
  const Grid grid{.bits = 2, .scale = 0.5f, .offset = -1.0f};  // the grid is {-1.0, -0.5, 0.0, 0.5}
  struct Case {
    std::string why;
    float x;
    int code;
  };
  const Case cases[] = {{"tie between 0 and 1 goes to even 0", -0.75f, 0},
                        {"tie between 1 and 2 goes to even 2", -0.25f, 2},
                        {"a grid point stays", 0.0f, 2},
                        {"above the grid saturates", 7.0f, 3},
                        {"below the grid saturates", -7.0f, 0}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    CHECK(encode(c.x, grid) == c.code);
  }
}

TEST_CASE("every SIMD level encodes the same codes and finds the same range") {
  for (const std::int64_t n : {1, 7, 31, 32, 33, 127, 128, 129, 1000, 4096 + 5, 70000}) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(Key(7).normal(i));
    const ConstMatrix m{x.data(), n, 1, 1, 1};
    const Range range = measure_range(m);
    for (const Simd simd : {Simd::avx2, Simd::avx512})
      CHECK((simd > best_simd() || measure_range(m, simd) == range));
    for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric}) {
      for (int bits = 2; bits <= 16; ++bits) {
        if (n == 70000 && bits > 3 && bits < 15 && bits != 8 && bits != 9) continue;
        // Some grids are narrower than the values, so that codes saturate.
        const Grid grid = Grid::fit(bits % 2 == 0 ? range : Range{-1.0f, 1.0f}, bits, style);
        for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
          if (bits <= 8) check_runs<std::int8_t>(x, grid, rounding);
          check_runs<std::int16_t>(x, grid, rounding);
        }
      }
    }
  }
}

TEST_CASE(
    "encode equals the definition on all 65,280 finite floats of 16 leading bits, for every grid "
    "of up to 4 bits") {
  const Range ranges[] = {{-1, 1},           {0, 6},          {-0.3f, 0.7f}, {100, 101},
                          {-1e-39f, 3e-39f}, {-1e38f, 1e38f}, {0.1f, 0.1f}};
  for (const Range& range : ranges) {
    for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric}) {
      for (int bits = style == GridStyle::affine ? 1 : 2; bits <= 4; ++bits) {
        const Grid grid = Grid::fit(range, bits, style);
        int wrong = 0;
        for (std::uint32_t top = 0; top < 65536; ++top) {
          const auto x = std::bit_cast<float>(top << 16);
          if (std::isfinite(x) && encode(x, grid) != nearest_code(quotient(x, grid), grid)) ++wrong;
        }
        CAPTURE(range.min);
        CAPTURE(bits);
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE(
    "encode equals the definition at and beside the ties of every width, and decode is two float32 "
    "operations") {
  for (int bits = 1; bits <= 16; ++bits) {
    for (std::uint64_t i = 0; i < 300; ++i) {
      const GridStyle style = bits > 1 && i % 2 == 0 ? GridStyle::symmetric : GridStyle::affine;
      const Grid grid = Grid::fit(random_range(Key(5), i), bits, style);
      const auto span = static_cast<std::uint64_t>(grid.high() - grid.low());
      int wrong = 0;
      for (std::uint64_t j = 0; j < 40; ++j) {
        const int code = grid.low() + static_cast<int>(Key(6).below(40 * i + j, span + 1));
        wrong += decode(code, grid) !=
                 static_cast<float>(double{static_cast<float>(code * double{grid.scale})} +
                                    double{grid.offset});
        const auto tie =
            static_cast<float>((code + 0.5) * double{grid.scale} + double{grid.offset});
        for (const float x :
             {tie, std::nextafter(tie, kInf), std::nextafter(tie, -kInf), decode(code, grid)}) {
          wrong += encode(x, grid) != nearest_code(quotient(x, grid), grid);
        }
      }
      CAPTURE(bits);
      CAPTURE(grid.scale);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE(
    "both ends of the range are end codes; the lower decodes exactly, the upper within its bound") {
  // With u = 2^-24: max - min, its quotient by the number of steps, and the product of scale and
  // code round relatively to the width, the last sum relatively to the result: |decode(high) - max|
  // <= u (3 width + |max|) (1 + 8u), plus what subnormals lose.
  constexpr double u = 0x1p-24, subnormal = 0x1p-150;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const Range range = random_range(Key(8), i);
    const int bits = 1 + static_cast<int>(i % 16);
    const Grid grid = Grid::fit(range, bits, GridStyle::affine);
    const double width = double{range.max} - double{range.min}, steps = grid.high();
    if (width == 0) continue;
    if (width / steps < 0x1p-126) continue;  // a subnormal scale has fewer bits: next test
    const double error = std::abs(double{decode(grid.high(), grid)} - double{range.max});
    const bool holds =
        encode(range.min, grid) == 0 && encode(range.max, grid) == grid.high() &&
        decode(0, grid) == range.min &&
        error <= u * (3 * width + std::abs(double{range.max})) * (1 + 8 * u) + 2 * subnormal;
    CAPTURE(range.min);
    CAPTURE(range.max);
    CAPTURE(bits);
    CHECK(holds);
    if (bits < 2) continue;
    const Grid even = Grid::fit(range, bits, GridStyle::symmetric);
    const float largest = std::max(std::abs(range.min), std::abs(range.max));
    if (largest / static_cast<float>(even.high()) < 0x1p-126f) continue;
    const double miss = std::abs(double{decode(even.high(), even)} - double{largest});
    const bool symmetric_holds = encode(largest, even) == even.high() &&
                                 encode(-largest, even) == even.low() && encode(0.0f, even) == 0 &&
                                 decode(0, even) == 0.0f &&
                                 miss <= 2 * u * double{largest} * (1 + u);
    CHECK(symmetric_holds);
  }
}

TEST_CASE("deterministic rounding is off by at most half a step, but for float32's own rounding") {
  // In steps: subtraction u v, division u v, product u v and the last sum u |value| / scale come on
  // top of 1/2.
  constexpr double u = 0x1p-24;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const Range range = random_range(Key(9), i);
    const int bits = 1 + static_cast<int>(i % 16);
    const Grid grid = Grid::fit(range, bits, GridStyle::affine);
    if (grid.scale < 0x1p-126f || range.min == range.max) continue;
    const float x = std::clamp(
        static_cast<float>(range.min + (double{range.max} - range.min) * Key(10).uniform(i)),
        range.min, range.max);
    const double magnitude =
        std::max(std::abs(double{range.min}), std::abs(double{range.max})) / double{grid.scale};
    const double steps =
        std::abs(double{decode(encode(x, grid), grid)} - double{x}) / double{grid.scale};
    if (!(steps <= 0.5 + u * (3 * grid.high() + 2 * magnitude) * (1 + 8 * u))) {
      CAPTURE(x);
      CAPTURE(bits);
      CHECK(steps <= 0.5);
    }
  }
}

TEST_CASE("encoding a decoded code gives it back wherever float32 can tell the codes apart") {
  // |scale code + offset| < 2^22 scale leaves less than half a step of rounding error
  // (docs/NUMERICS.md).
  for (int bits = 1; bits <= 16; ++bits) {
    for (std::uint64_t i = 0; i < 60; ++i) {
      const GridStyle style = bits > 1 && i % 2 == 0 ? GridStyle::symmetric : GridStyle::affine;
      const Range range = random_range(Key(11), i);
      const Grid grid = Grid::fit(range, bits, style);
      const double largest = std::max(std::abs(double{range.min}), std::abs(double{range.max}));
      if (grid.scale < 0x1p-126f || largest >= 0x1p22 * double{grid.scale}) continue;
      int moved = 0;
      for (int code = grid.low(); code <= grid.high(); ++code)
        moved += encode(decode(code, grid), grid) != code;
      CAPTURE(grid.scale);
      CAPTURE(grid.offset);
      CHECK(moved == 0);
    }
  }
}

TEST_CASE("a constant range takes the scale 1e-8 and is reproduced exactly; no other range does") {
  for (const float c : {0.0f, -0.1f, 3e38f, kTiny}) {
    for (const int bits : {1, 8, 16}) {
      const Grid grid = Grid::fit({c, c}, bits, GridStyle::affine);
      CHECK(grid.scale == 1e-8f);
      CHECK(encode(c, grid) == 0);
      CHECK(decode(encode(c, grid), grid) == c);
      CHECK(encode(c, grid, 0) == 0);
    }
  }
  CHECK(Grid::fit({0, 0}, 8, GridStyle::symmetric).scale == 1e-8f);
  CHECK(Grid::fit({-2, -2}, 8, GridStyle::symmetric).scale == 2.0f / 127);
  CHECK(Grid::fit({0, 2.55e-15f}, 8, GridStyle::affine).scale ==
        2.55e-15f / 255);  // far below the floor, and kept
}

TEST_CASE(
    "a scale that would underflow to zero is the smallest float, and the end points stay on the "
    "grid") {
  struct Case {
    float min, max;
    int bits;
    GridStyle style;
  };
  const Case cases[] = {{0, kTiny, 8, GridStyle::affine},
                        {-kTiny, 5 * kTiny, 16, GridStyle::affine},
                        {-3 * kTiny, 0, 8, GridStyle::symmetric}};
  for (const Case& c : cases) {
    const Grid grid = Grid::fit({c.min, c.max}, c.bits, c.style);
    CHECK(grid.scale == kTiny);
    for (const float x : {c.min, c.max, 0.0f}) CHECK(decode(encode(x, grid), grid) == x);
  }
}

TEST_CASE("negative zero counts as zero") {
  const float values[] = {-0.0f, -0.0f, 1.0f};
  for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
    if (simd > best_simd()) continue;
    const Range range = measure_range({values, 1, 3, 3, 1}, simd),
                zeros = measure_range({values, 1, 2, 2, 1}, simd);
    CHECK_FALSE(std::signbit(range.min));
    CHECK_FALSE(std::signbit(zeros.max));
    CHECK(range == Range{0, 1});
  }
  const Grid grid = Grid::fit({-1, 2}, 4, GridStyle::affine);
  CHECK(encode(-0.0f, grid) == encode(0.0f, grid));
}

TEST_CASE(
    "a NaN or an infinity anywhere makes the range not finite, at every SIMD level, and no grid is "
    "fitted") {
  std::vector<float> x(75, 1.0f);
  for (const float bad : {kNaN, -kNaN, kInf, -kInf}) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      std::vector<float> y = x;
      y[i] = bad;
      for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
        if (simd <= best_simd()) CHECK_FALSE(measure_range({y.data(), 75, 1, 1, 1}, simd).finite());
      }
      CHECK_FALSE(measure_range({y.data(), 25, 3, 1, 25}).finite());
    }
  }
  CHECK_THROWS_AS(Grid::fit({kNaN, kNaN}, 8, GridStyle::affine), NonFiniteError);
  CHECK_THROWS_AS(Grid::fit({0, kInf}, 8, GridStyle::symmetric), NonFiniteError);
  CHECK_THROWS_WITH_AS(Grid::fit({-3e38f, 3e38f}, 8, GridStyle::affine),
                       "the range -3e+38 .. 3e+38 is wider than float32 can hold", NonFiniteError);
  CHECK(Grid::fit({-3e38f, 3e38f}, 8, GridStyle::symmetric).scale == 3e38f / 127);
  CHECK_THROWS_AS(Grid::fit({-1, 1}, 1, GridStyle::symmetric), ConfigError);
  CHECK(measure_range({x.data(), 0, 5, 5, 1}) == Range{0, 0});
}

TEST_CASE(
    "stochastic rounding goes up with probability f rounded to 2^-16, counted over all 65,536 "
    "draws") {
  const Grid grid{.bits = 8, .scale = 1.0f, .offset = 0.0f};
  std::vector<float> values{0.0f,         7.0f,          255.0f,   300.0f,          -4.0f,
                            0.5f,         0x1p-17f,      0x1p-16f, 1.5f * 0x1p-16f, 0x1p-18f,
                            1 - 0x1p-24f, 254 + 0.99999f};
  for (std::uint64_t i = 0; i < 200; ++i)
    values.push_back(static_cast<float>(255 * Key(12).uniform(i)));
  for (const float x : values) {
    const double v = std::clamp(double{x}, 0.0, 255.0), below = std::floor(v), f = v - below;
    int up = 0, other = 0;
    for (int bits = 0; bits < 65536; ++bits) {
      const int code = encode(x, grid, static_cast<std::uint16_t>(bits));
      up += code == static_cast<int>(below) + 1;
      other += code != static_cast<int>(below) && code != static_cast<int>(below) + 1;
    }
    CAPTURE(x);
    CHECK(up == static_cast<int>(std::ceil(65536 * f - 0.5)));  // nearest, ties down
    CHECK(other == 0);
    CHECK(std::abs(up / 65536.0 - f) <=
          0x1p-17);  // so the expected code is off by at most 2^-17 of a step
  }
}

TEST_CASE("stochastic rounding has a mean error of zero") {
  constexpr std::int64_t n = 200000;
  std::vector<float> x(n);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(Key(13).normal(i));
  const Grid grid = Grid::fit(measure_range({x.data(), n, 1, 1, 1}), 4, GridStyle::affine);
  std::vector<std::int8_t> codes(x.size());
  encode_run(x.data(), n, grid, Rounding::stochastic, Key(14), 0, best_simd(), codes.data());
  double error = 0, variance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = (double{x[i]} - double{grid.offset}) / double{grid.scale},
                 f = v - std::floor(v);
    error += codes[i] + grid.centre() - v;
    variance += f * (1 - f);
  }
  CHECK(std::abs(error) < 5 * std::sqrt(variance));
}

TEST_CASE(
    "element i draws 16 bits of Philox block 16 (i / 128) + i % 16: word i / 16 % 4, half i / 64 % "
    "2") {
  const Key key(0x123456789abcdefULL);
  const auto by_definition = [&](std::uint64_t i) {
    const std::uint64_t block = 16 * (i / 128) + i % 16;
    const auto words = philox4x32(
        {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 2},
        {0x89abcdef, 0x01234567});
    const std::uint32_t word = words[i / 16 % 4];
    return static_cast<std::uint16_t>(i / 64 % 2 == 0 ? word & 0xffff : word >> 16);
  };
  for (std::uint64_t i = 0; i < 1000; ++i) CHECK(rounding_bits(key, i) == by_definition(i));
  for (std::uint64_t i = 1; i < (1ULL << 60); i = i * 3 + 1)
    CHECK(rounding_bits(key, i) == by_definition(i));
}

TEST_CASE("runs may start at any element, in either container, and wrap no counter at 2^32") {
  constexpr std::int64_t n = 700;
  std::vector<float> x(n);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(Key(15).normal(i));
  const std::uint64_t wrap = std::uint64_t{1} << 35;  // block 2^32
  for (const std::uint64_t first :
       {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{384}, wrap - 256, wrap + 128}) {
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      const Grid narrow = Grid::fit({-3, 3}, 8, GridStyle::affine),
                 wide = Grid::fit({-3, 3}, 16, GridStyle::affine);
      std::vector<std::int8_t> int8(n);
      std::vector<std::int16_t> int16(n);
      encode_run(x.data(), n, narrow, Rounding::stochastic, Key(16), first, simd, int8.data());
      encode_run(x.data(), n, wide, Rounding::stochastic, Key(16), first, simd, int16.data());
      int wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::uint16_t bits = rounding_bits(Key(16), first + i);
        wrong += int8[i] != encode(x[i], narrow, bits) - 128;
        wrong += int16[i] != encode(x[i], wide, bits) - 32768;
      }
      CAPTURE(first);
      CHECK(wrong == 0);
    }
  }
}
