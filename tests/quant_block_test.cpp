#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "quant/formats/block.h"
#include "quant/gemm.h"
#include "quant_problems.h"

using namespace ebb;
using ebb::testing::Dice;

namespace {

constexpr auto kE8m0 = Scaling::Kind::e8m0;

Format blocks_of(Format element, Scaling::Kind kind, int block, int lines = 1,
                 Scaling::Rule rule = Scaling::Rule::floor) {
  element.scaling = {.kind = kind,
                     .rule = rule,
                     .lines = static_cast<std::uint8_t>(lines),
                     .block = static_cast<std::uint16_t>(block)};
  return element;
}
Format mx(int exponent, int fraction, int block = 32) {
  return blocks_of(Format::floating(exponent, fraction), kE8m0, block);
}
Format nvfp4() { return blocks_of(Format::floating(2, 1), Scaling::Kind::ue4m3, 16); }

struct Named {
  const char* name;
  Format format;
};
/// Block floating point and MXINT8 are integers under powers of two.
std::vector<Named> formats() {
  return {{"mxfp4", mx(2, 1)},
          {"mxfp6", mx(3, 2)},
          {"mxfp6 e2m3", mx(2, 3)},
          {"mxfp8", mx(4, 3)},
          {"mxfp8 e5m2", mx(5, 2)},
          {"mxint8", blocks_of(Format::integer(8), kE8m0, 32)},
          {"msfp12", blocks_of(Format::integer(4), Scaling::Kind::pow2, 16)},
          {"nvfp4", nvfp4()},
          {"e4m3 by 128", blocks_of(Format::floating(4, 3), Scaling::Kind::absmax, 128)},
          {"int8 by 20", blocks_of(Format::integer(8), Scaling::Kind::absmax, 20)},
          {"int16 by 7", blocks_of(Format::integer(16), Scaling::Kind::absmax, 7)},
          {"e2m1 16x16", blocks_of(Format::floating(2, 1), kE8m0, 16, 16)},
          {"bf16 by 8", blocks_of(Format::floating(8, 7), kE8m0, 8)}};
}

/// Magnitudes of a format with bias b, from its definition.
std::vector<double> magnitudes(int exponent, int fraction, int bias, double max) {
  std::vector<double> all;
  for (int e = 0; e < 1 << exponent; ++e) {
    for (int f = 0; f < 1 << fraction; ++f) {
      const double share = std::ldexp(f, -fraction);
      all.push_back(e == 0 ? std::ldexp(share, 1 - bias) : std::ldexp(1.0 + share, e - bias));
    }
  }
  std::erase_if(all, [&](double x) { return x > max; });
  return all;
}
/// The nearest of them, of two the one with the even place, which is its code.
double nearest(const std::vector<double>& magnitudes, double x) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < magnitudes.size(); ++i) {
    const double now = std::abs(std::abs(x) - magnitudes[i]),
                 before = std::abs(std::abs(x) - magnitudes[best]);
    if (now < before || (now == before && i % 2 == 0)) best = i;
  }
  return std::copysign(magnitudes[best], x);
}

/// Numbers over many binades, with zero blocks, ties and huge values among them.
Tensor wild(Dice& dice, std::int64_t rows, std::int64_t cols) {
  Tensor x = Tensor::uninitialized({rows, cols});
  const std::int64_t kind = dice.below(5);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const float scale = kind == 0 ? 1.0f : std::ldexp(1.0f, static_cast<int>(dice.below(41)) - 20);
    x[i] = i / 16 % 5 == 3 && kind != 2 ? 0.0f : dice.normal() * scale;
    if (kind == 1) x[i] = std::round(x[i] * 4) / 4;
    if (kind == 4 && dice.one_in(50)) x[i] *= 1e30f;
  }
  return x;
}

Operand encoded(const Tensor& x, Format format, Granularity granularity,
                Rounding rounding = Rounding::nearest_even, Key key = Key(7)) {
  return {x.matrix(), {.format = format, .rounding = rounding}, granularity, key};
}

/// The definition of a product in the test's own words: sums of blocks in long double, which holds
/// those that occur here; each rounded sum by way of a float64 that was rounded to odd.
float definition(const Operand& a, const Operand& b, std::int64_t i, std::int64_t j) {
  const BlockScales &of_a = a.block_scales(), &of_b = b.block_scales();
  float acc = 0.0f;
  long double sum = 0.0L;
  const double tensors = static_cast<double>(of_a.tensor) * static_cast<double>(of_b.tensor);
  for (std::int64_t k = 0; k < a.cols(); ++k) {
    const double x = a.value(i, k) / static_cast<double>(of_a.tensor),
                 y = b.value(k, j) / static_cast<double>(of_b.tensor);
    sum += static_cast<long double>(x) * static_cast<long double>(y);
    const bool ends = k + 1 == a.cols() || (of_a.first_col + k + 1) % of_a.extents.cols == 0 ||
                      (of_b.first_row + k + 1) % of_b.extents.rows == 0;
    if (!ends) continue;
    acc = static_cast<float>(static_cast<long double>(acc) + sum);
    sum = 0.0L;
  }
  return static_cast<float>(static_cast<double>(acc) * tensors);
}

}  // namespace

TEST_CASE("the exponent of a block's scale follows the four rules") {
  using Rule = Scaling::Rule;
  const float below_8 = std::nextafter(8.0f, 0.0f), most = std::numeric_limits<float>::max();
  struct Case {
    Format element;
    float largest;
    int floor, ceil, even, rceil;
  };
  const Format e2m1 = Format::floating(2, 1), e4m3 = Format::floating(4, 3);
  const Case cases[] = {
      {e2m1, 6.0f, 0, 1, 0, 0},          // the largest number itself
      {e2m1, 6.5f, 0, 1, 0, 1},          // 1.625 rounds to 1.5 in one bit
      {e2m1, 7.0f, 0, 1, 1, 1},          // 1.75 is half way, and rounds up to the next binade
      {e2m1, below_8, 0, 1, 1, 1},       // log2 of it is 3 in float32
      {e2m1, 8.0f, 1, 1, 1, 1},          //
      {e2m1, most, 125, 126, 126, 126},  //
      {e2m1, 0x1p-149f, -127, -127, -127, -127},  // far below the least scale
      {e2m1, 0x1.8p-126f, -127, -127, -127, -127},
      {e2m1, 0.0f, -127, -127, -127, -127},
      {e4m3, 448.0f, 0, 1, 0, 0},
      {e4m3, 449.0f, 0, 1, 0, 1},
      {e4m3, 480.0f, 0, 1, 0, 1},
      {e4m3, 496.0f, 0, 1, 1, 1},  // 1.9375 is half way between 1.875 and 2
      {e4m3, 957.0f, 1, 2, 1, 2},
      {Format::integer(8), 127.0f, 0, 1, 0, 0},
      {Format::integer(8), 127.5f, 0, 1, 1, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.element);
    CAPTURE(c.largest);
    const std::pair<Rule, int> wanted[] = {
        {Rule::floor, c.floor}, {Rule::ceil, c.ceil}, {Rule::even, c.even}, {Rule::rceil, c.rceil}};
    for (const auto& [rule, exponent] : wanted) {
      const Format format = blocks_of(c.element, kE8m0, 32, 1, rule);
      const BlockScale scale = BlockScale::fit(format, BlockElement(format), c.largest, {});
      CHECK(scale.stored == std::ldexp(1.0f, exponent));
    }
  }
}

TEST_CASE("blocks of MX round to the nearest number, saturate, and are NaN as a whole") {
  const float inf = std::numeric_limits<float>::infinity();
  struct Case {
    const char* why;
    Format format;
    std::vector<float> x, values;
    std::vector<std::uint32_t> codes;
  };
  const Case cases[] = {
      {"7 saturates under floor",
       mx(2, 1),
       {7.0f, -2.5f, 0.25f, -0.1f},
       {6, -2, 0, -0.0f},
       {7, 12, 0, 8}},
      {"957 becomes 896", mx(4, 3), {957.0f, 1.0f}, {896, 1}, {0x7e, 0x30}},
      {"the largest of two's complement is 1.984375",
       blocks_of(Format::integer(8), kE8m0, 32),
       {127.9f, -127.9f, 1.5f},
       {127, -127, 2},
       {0x7f, 0x81, 2}},
      {"zeros", mx(2, 1), {0.0f, -0.0f}, {0, -0.0f}, {0, 8}},
      {"subnormal numbers", mx(2, 1), {0x1p-126f, 0x1p-149f}, {0x1p-126f, 0}, {4, 0}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const EncodedBlock block = encode_block(c.format, c.x, {}, Rounding::nearest_even, Key(1), 0);
    CHECK(block.values == c.values);
    CHECK(block.codes == c.codes);
    for (std::size_t i = 0; i < c.values.size(); ++i)
      CHECK(std::signbit(block.values[i]) == std::signbit(c.values[i]));
  }
  for (const float special : {inf, -inf, std::nanf("")}) {
    const std::vector<float> x{1.0f, special, 2.0f};
    const EncodedBlock block = encode_block(mx(4, 3), x, {}, Rounding::nearest_even, Key(1), 0);
    CHECK(std::isnan(block.scale));
    CHECK(std::ranges::all_of(block.values, [](float v) { return std::isnan(v); }));
    Tensor matrix = Tensor::zeros({2, 40});
    matrix[70] = special;
    CHECK_THROWS_AS(encoded(matrix, mx(4, 3), Granularity::per_row), NonFiniteError);
    CHECK_THROWS_AS(encoded(matrix, nvfp4(), Granularity::per_column), NonFiniteError);
  }
}

TEST_CASE("NVFP4 is what its steps in float32 give") {
  const std::vector<double> e4m3 = magnitudes(4, 3, 7, 448.0), e2m1 = magnitudes(2, 1, 1, 6.0);
  const float most = std::numeric_limits<float>::max();
  Dice dice(Key(11));
  std::int64_t wrong = 0;
  for (int round = 0; round < 60; ++round) {
    Tensor x = wild(dice, 3, 16 * 4 + 5);
    if (round == 0) x = Tensor::zeros({3, 69});
    if (round == 1) x = Tensor::filled({3, 69}, 0x1p-140f);
    const Operand q = encoded(x, nvfp4(), Granularity::per_row);
    float amax = 0.0f;
    for (const float v : x.values()) amax = std::max(amax, std::abs(v));
    const float s = std::min((448.0f * 6.0f) / amax, most), d = 1.0f / s;
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t first = 0; first < 69; first += 16) {
        const std::int64_t last = std::min<std::int64_t>(69, first + 16);
        float block = 0.0f;
        for (std::int64_t j = first; j < last; ++j)
          block = std::max(block, std::abs(x[i * 69 + j]));
        const float scaled = std::min(block * (s * (1.0f / 6.0f)), 448.0f);
        const auto d8 = static_cast<float>(nearest(e4m3, scaled));
        const float c = std::min(1.0f / (d8 * d), most);
        for (std::int64_t j = first; j < last; ++j) {
          const float y = std::clamp(x[i * 69 + j] * c, -6.0f, 6.0f);
          const double value = nearest(e2m1, y) * static_cast<double>(d8) * static_cast<double>(d);
          wrong += q.value(i, j) != value ? 1 : 0;
        }
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("an operand has the blocks of the axis that is contracted, in every view") {
  Dice dice(Key(12));
  for (const Named& of : formats()) {
    CAPTURE(of.name);
    for (const Rounding rounding : {Rounding::nearest_even, Rounding::stochastic}) {
      const std::int64_t rows = 70, cols = 45;
      Tensor x = wild(dice, rows, cols);
      std::int64_t wrong = 0;
      for (const int axis : {0, 1}) {
        const Operand q = encoded(
            x, of.format, axis == 1 ? Granularity::per_row : Granularity::per_column, rounding);
        const BlockExtents extents = BlockExtents::along(of.format, axis);
        float amax = 0.0f;
        for (const float v : x.values()) amax = std::max(amax, std::abs(v));
        const TensorScale tensor = TensorScale::fit(of.format, amax);
        const BlockElement element(of.format);
        for (std::int64_t top = 0; top < rows; top += extents.rows) {
          for (std::int64_t left = 0; left < cols; left += extents.cols) {
            float largest = 0.0f;
            const auto each = [&](const auto& then) {
              for (std::int64_t i = top; i < std::min(rows, top + extents.rows); ++i)
                for (std::int64_t j = left; j < std::min(cols, left + extents.cols); ++j)
                  then(i, j);
            };
            each([&](std::int64_t i, std::int64_t j) {
              largest = std::max(largest, std::abs(x[i * cols + j]));
            });
            const BlockScale scale = BlockScale::fit(of.format, element, largest, tensor);
            each([&](std::int64_t i, std::int64_t j) {
              const auto at = static_cast<std::uint64_t>(i * cols + j);
              const std::int32_t code = encode_in_block(element, of.format, x[i * cols + j], scale,
                                                        rounding, rounding_word(Key(7), at));
              wrong += q.value(i, j) != element.number(code) * static_cast<double>(scale.stored) *
                                            static_cast<double>(tensor.decode);
            });
          }
        }
        const Operand part = q.rows(5, 60).columns(3, 40), turned = part.transposed(),
                      decoded = turned.decoded();
        for (std::int64_t i = 0; i < 60; ++i) {
          for (std::int64_t j = 0; j < 40; ++j) {
            const double value = q.value(5 + i, 3 + j);
            wrong += (part.value(i, j) != value) + (turned.value(j, i) != value) +
                     (decoded.value(j, i) != static_cast<double>(static_cast<float>(value)));
          }
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("stochastic rounding in a block has the expected value x") {
  const Format format = mx(2, 1);
  std::vector<float> x(4096, 2.25f);  // between 2 and 3 under a scale of 1
  x[0] = 6.0f;
  const EncodedBlock block = encode_block(format, x, {}, Rounding::stochastic, Key(3), 0);
  const auto up = std::ranges::count(block.values, 3.0f),
             down = std::ranges::count(block.values, 2.0f);
  CHECK(up + down == 4095);
  CHECK(std::abs(static_cast<double>(up) - 4095 * 0.25) < 4 * std::sqrt(4095 * 0.25 * 0.75));
}

TEST_CASE("products of blocks are the definition's, by every kernel and number of threads") {
  Dice dice(Key(13));
  const std::vector<Named> all = formats();
  const Site site("product");
  const auto choose = [&]() -> const Named& {
    return all[static_cast<std::size_t>(dice.below(std::ssize(all)))];
  };
  std::int64_t checked = 0;
  for (int round = 0; round < 300; ++round) {
    const Named &left = choose(), &right = dice.one_in(2) ? left : choose();
    const std::int64_t m = ebb::testing::random_extent(dice, 40),
                       n = ebb::testing::random_extent(dice, 70),
                       k = ebb::testing::random_extent(dice, 300);
    const std::int64_t skip = dice.one_in(3) ? dice.below(40) : 0;
    const bool turn_a = dice.one_in(3), turn_b = dice.one_in(2);
    const Tensor x = turn_a ? wild(dice, k + skip, m) : wild(dice, m, k + skip),
                 w = turn_b ? wild(dice, n, k + skip) : wild(dice, k + skip, n);
    const Operand of_x = encoded(x, left.format,
                                 turn_a ? Granularity::per_column : Granularity::per_row),
                  of_w = encoded(w, right.format,
                                 turn_b ? Granularity::per_row : Granularity::per_column);
    const Operand a = (turn_a ? of_x.transposed() : of_x).columns(skip, k),
                  b = (turn_b ? of_w.transposed() : of_w).rows(skip, k);
    CAPTURE(left.name);
    CAPTURE(right.name);
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    CAPTURE(skip);
    CostLedger ledger;
    const Tensor reference = gemm(a, b, {.site = site, .kernel = "reference"}, ledger);
    const auto narrow = [](Format format) {
      return BlockElement(format).linear && format.scaling.kind != Scaling::Kind::absmax;
    };
    if (narrow(left.format) && narrow(right.format) && m > 0 && n > 0) {
      const std::int64_t i = dice.below(m), j = dice.below(n);
      const float value = reference[i * n + j];
      CHECK(definition(a, b, i, j) == value);
    }
    for (const Accumulator accumulator : {Accumulator{}, Accumulator::exact()}) {
      const Tensor wanted =
          gemm(a, b, {.site = site, .accumulator = accumulator, .kernel = "reference"}, ledger);
      for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
        if (simd > best_simd()) continue;
        CAPTURE(choose_kernel(a, b, {.site = site, .accumulator = accumulator, .simd = simd}));
        omp_set_num_threads(round % 2 + 1);
        CHECK(gemm(a, b, {.site = site, .accumulator = accumulator, .simd = simd}, ledger) ==
              wanted);
        ++checked;
      }
    }
  }
  CHECK(checked > 0);
}

TEST_CASE("sums of blocks are rounded once a block") {
  // 2^24 + 1 is half way between float32 numbers and becomes 2^24; with the next block's 2^-20 in
  // the same sum it would not.
  const auto block = [](float value, std::int64_t at) {
    Tensor x = Tensor::zeros({1, 96});
    x[0] = 4096.0f;
    x[32] = at == 1 ? value : 1.0f;
    x[64] = 0x1p-10f;
    return x;
  };
  const Tensor x = block(1.0f, 1), w = block(1.0f, 1);
  const Operand a = encoded(x, mx(4, 3), Granularity::per_row),
                b = encoded(w, mx(4, 3), Granularity::per_row).transposed();
  const Site site("product");
  CostLedger ledger;
  CHECK(gemm(a, b, {.site = site}, ledger)[0] == 0x1p24f);
  CHECK(gemm(a, b, {.site = site, .accumulator = Accumulator::exact()}, ledger)[0] == 0x1p24f + 2);
  CHECK(gemm(a, b, {.site = site, .accumulator = Accumulator::parse("fp32_blocked(32)")},
             ledger)[0] == 0x1p24f);
  CHECK_THROWS_AS(gemm(a, b, {.site = site, .accumulator = Accumulator::fp32()}, ledger),
                  ConfigError);
  CHECK_THROWS_AS(gemm(a, b, {.site = site, .accumulator = Accumulator::wrap(20)}, ledger),
                  ConfigError);
  // 1 + 2^-24 + 2^-54 is above the middle of float32 numbers, and a float64 would lose that.
  Tensor fine = Tensor::zeros({1, 64});
  fine[0] = 1.0f;
  fine[32] = 0x1p-12f;
  fine[33] = 0x1p-27f;
  const Operand left = encoded(fine, mx(4, 3), Granularity::per_row);
  CHECK(gemm(left, left.transposed(), {.site = site, .simd = best_simd()}, ledger)[0] ==
        1.0f + 0x1p-23f);
  // Beside a matrix of another kind both are decoded.
  const Operand other(w.matrix().transposed(), {.format = Format::integer(8)},
                      Granularity::per_tensor, Key(1));
  CHECK(gemm(a, other, {.site = site}, ledger) ==
        gemm(a.decoded(), other.decoded(), {.site = site}, ledger));
}

TEST_CASE("what cannot be a block is an error") {
  const Tensor x = Tensor::zeros({4, 4});
  CHECK_THROWS_AS(encoded(x, mx(2, 1), Granularity::per_tensor), ConfigError);
  CHECK_THROWS_AS(encoded(x, blocks_of(Format::integer(1), kE8m0, 8), Granularity::per_row),
                  ConfigError);
  CHECK_THROWS_AS(
      encoded(x, blocks_of(Format::integer(8), Scaling::Kind::none, 8), Granularity::per_row),
      ConfigError);
  CHECK_THROWS_AS(encoded(x, blocks_of(Format::floating(8, 10), kE8m0, 8), Granularity::per_row),
                  ConfigError);
}
