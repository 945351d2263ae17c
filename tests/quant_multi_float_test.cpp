// Expansions against the exact sums and products of their numbers, in 128-bit integers or in double
// where that is exact.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "quant/formats/codec.h"
#include "quant/formats/multi_float.h"

using namespace ebb;
using enum ExpansionOp;

namespace {

#ifdef NDEBUG
constexpr std::int64_t kRandomPairs = 10'000'000;
#else
constexpr std::int64_t kRandomPairs = 200'000;
#endif

std::vector<Simd> levels() {
  std::vector<Simd> all{Simd::scalar};
  for (const Simd level : {Simd::avx2, Simd::avx512}) {
    if (level <= best_simd()) all.push_back(level);
  }
  return all;
}

/// Whether a + b = s + e, all four exact: numbers of up to 11 bits of fp16 and of bf16 are at most
/// 2^278 apart, so differences that matter are found by cancelling first.
bool same_sum(double a, double b, double s, double e) {
  // a + b - s without rounding: the larger of a and b is within a binade of s, or s is the rest of
  // two of about the same size; either way one difference is exact in 53 bits, and so is the next.
  const double large = std::abs(a) >= std::abs(b) ? a : b,
               small = std::abs(a) >= std::abs(b) ? b : a;
  return (large - s) + small == e;
}

double ulp(Format f, double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent - 1, 1 - f.bias) - f.fraction);
}

/// Random numbers of a format, whose second is drawn near the first's exponent half of the time.
struct Pairs {
  Format format;
  std::span<const float> numbers = all_numbers(format);

  [[nodiscard]] float at(std::uint64_t draw) const { return numbers[draw & (numbers.size() - 1)]; }
  [[nodiscard]] float near(std::uint64_t draw, float other) const {
    const auto code = traits_of(format).encode(format, double{other}, Rounding::nearest_even, {});
    const std::uint64_t field = std::uint64_t{20} << format.fraction,
                        moved = code + draw % field - field / 2;
    return at(draw >> 40 & 1 ? moved : draw >> 41);
  }
};

constexpr std::int64_t kMany = 1 << 12;

/// Arrays of random expansions of bf16 and of numbers, some of them subnormal or zero.
std::vector<std::vector<float>> random_arrays(const MultiFloat& f, std::size_t count, Key key) {
  const Format format = f.components()[0].format;
  const Pairs pairs{format};
  std::vector<std::vector<float>> arrays(count, std::vector<float>(kMany));
  for (std::size_t k = 0; k < count; ++k) {
    for (std::int64_t i = 0; i < kMany; ++i) {
      const std::uint64_t draw = key.fold(k).bits(static_cast<std::uint64_t>(i));
      float x = pairs.near(draw, k == 0 ? 1.0f : arrays[k - 1][static_cast<std::size_t>(i)]);
      if (!std::isfinite(x) || std::abs(x) > 0x1p60f) x = 1.5f;
      if (i % 16 == 0) x *= 0x1p-130f;
      arrays[k][static_cast<std::size_t>(i)] =
          round_to(format, x, Rounding::nearest_even, Key(0), 0);
    }
  }
  return arrays;
}

}  // namespace

TEST_CASE("constants of Adam as two numbers of bf16") {
  const MultiFloat f(Format::parse("bf16"), 2);
  struct Case {
    double x, high, low;
  };
  const Case cases[] = {{0.999, 1.0, -0.00099945068359375},
                        {0.99, 0.98828125, 0.00171661376953125},
                        {0.98, 0.98046875, -0.000469207763671875},
                        {0.95, 0.94921875, 0.000782012939453125}};
  for (const Case& c : cases) {
    CAPTURE(c.x);
    CHECK(f.split(c.x) == MultiFloat::Numbers{c.high, c.low, 0});
  }
  CHECK(f.rounded(0, 200.0 + f.rounded(0, 0.1)) == 200.0);  // an update that is lost
}

TEST_CASE("two_sum is exact of all pairs of e5m2 that do not overflow, fast_two_sum in order") {
  const Format format = Format::parse("e5m2(overflow=ieee)");
  const MultiFloat f(format, 2);
  int wrong = 0, fast_wrong = 0, pairs = 0;
  for (const float a : all_numbers(format)) {
    for (const float b : all_numbers(format)) {
      const double sum = double{a} + double{b};
      if (!(std::abs(sum) < 61440)) continue;  // halfway to beyond 57344, NaNs and infinities
      const auto [s, e, none] = f(two_sum, {double{a}, double{b}});
      if (std::abs(s - double{b}) >= 61440) continue;  // the second of its steps overflows
      ++pairs;
      wrong += s + e != sum || s != f.rounded(0, sum) ? 1 : 0;
      if (std::abs(a) < std::abs(b)) continue;
      const auto [fs, fe, none2] = f(fast_two_sum, {double{a}, double{b}});
      fast_wrong += fs + fe != sum || fs != s ? 1 : 0;
    }
  }
  CHECK(pairs > 60000);
  CHECK(wrong == 0);
  CHECK(fast_wrong == 0);
}

TEST_CASE("sums and products of random pairs of bf16 and fp16 are exact, subnormal ones too") {
  for (const char* name : {"bf16", "fp16"}) {
    CAPTURE(name);
    const Format format = Format::parse(name);
    const MultiFloat f(format, 2);
    const Pairs pairs{format};
    const double max = traits_of(format).max(format);
    const int least = 1 - format.bias;  // the exponent of the smallest normal number
    std::int64_t sums = 0, products = 0, wrong = 0, fast_wrong = 0, product_wrong = 0, rest = 0;
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(kRandomPairs); ++i) {
      const std::uint64_t draw = Key(3).bits(i);
      const float one = pairs.at(draw), two = pairs.near(draw >> 16, one);
      const double a = double{one}, b = double{two};
      if (std::abs(a + b) <= max) {
        ++sums;
        const auto [s, e, none] = f(two_sum, {a, b});
        wrong += same_sum(a, b, s, e) ? 0 : 1;
        const bool ordered = std::abs(a) >= std::abs(b);
        const auto [fs, fe, none2] = ordered ? f(fast_two_sum, {a, b}) : f(fast_two_sum, {b, a});
        fast_wrong += same_sum(a, b, fs, fe) ? 0 : 1;
      }
      if (std::abs(a * b) <= max) {
        ++products;
        const auto [p, e, none] = f(two_prod, {a, b});
        const bool exact =
            a == 0 || b == 0 || std::ilogb(a) + std::ilogb(b) >= least + format.fraction;
        product_wrong += exact && a * b - p != e ? 1 : 0;
        rest += f.rounded(0, a * b - p) != e ? 1 : 0;
      }
    }
    CHECK(sums > kRandomPairs / 2);
    CHECK(products > kRandomPairs / 8);
    CHECK(wrong == 0);
    CHECK(fast_wrong == 0);
    CHECK(product_wrong == 0);
    CHECK(rest == 0);
  }
}

TEST_CASE("vectors of bf16 give the bits of the definition, in every operation") {
  int element_operations = 0;
  for (const std::size_t length : {std::size_t{2}, std::size_t{3}}) {
    const MultiFloat f(Format::parse("bf16"), length);
    for (int number = 0; number < 9; ++number) {
      const auto op = static_cast<ExpansionOp>(number);
      const auto in = random_arrays(f, f.operands(op), Key(5).fold(number));
      std::vector<const float*> from;
      for (const auto& array : in) from.push_back(array.data());
      for (const Simd simd : levels()) {
        std::vector<std::vector<float>> out(f.results(op), std::vector<float>(kMany));
        std::vector<float*> to;
        for (auto& array : out) to.push_back(array.data());
        f(op, from, kMany - 3, to, simd);
        int wrong = 0;
        for (std::size_t i = 0; i < kMany - 3; ++i) {
          std::vector<double> numbers;
          for (const auto& array : in) numbers.push_back(double{array[i]});
          const MultiFloat::Numbers want = f(op, numbers);
          for (std::size_t k = 0; k < out.size(); ++k)
            wrong += std::bit_cast<std::uint32_t>(out[k][i]) !=
                             std::bit_cast<std::uint32_t>(static_cast<float>(want[k]))
                         ? 1
                         : 0;
          ++element_operations;
        }
        CAPTURE(number);
        CAPTURE(length);
        CAPTURE(to_text(simd));
        CHECK(wrong == 0);
        CHECK(out[0][kMany - 2] == 0);
      }
    }
  }
  CHECK(element_operations > 70000);
}

TEST_CASE("expansions stay free of overlap and near what they stand for") {
  struct Case {
    const char* format;
    std::size_t length;
    double relative;  // error of an operation: some units of the last of all bits
  };
  const Case cases[] = {{"bf16", 2, 0x1p-14}, {"bf16", 3, 0x1p-21}, {"fp16", 2, 0x1p-19}};
  for (const Case& c : cases) {
    CAPTURE(c.format);
    CAPTURE(c.length);
    const Format format = Format::parse(c.format);
    const MultiFloat f(format, c.length);
    const auto value = [](const MultiFloat::Numbers& x) { return x[0] + x[1] + x[2]; };
    int overlap = 0, far = 0;
    for (std::uint64_t i = 0; i < 4000; ++i) {
      const double a = Key(7).normal(2 * i), b = Key(7).normal(2 * i + 1);
      const MultiFloat::Numbers x = f.split(a), y = f.split(b);
      const double small = f.rounded(0, b * (i % 3 == 0 ? 1 : 0x1p-6));
      std::vector<double> one(x.begin(), x.begin() + std::ssize(f.components())), both = one,
                                                                                  with = one;
      both.insert(both.end(), y.begin(), y.begin() + std::ssize(f.components()));
      with.push_back(small);
      const double xv = value(x), yv = value(y);
      struct Result {
        MultiFloat::Numbers numbers;
        double exact, size;
      };
      std::vector<Result> results{{f(grow_safe, with), xv + small, std::abs(xv) + std::abs(small)},
                                  {f(add, both), xv + yv, std::abs(xv) + std::abs(yv)},
                                  {f(mul, both), xv * yv, std::abs(xv * yv)},
                                  {f(scale, with), xv * small, std::abs(xv * small)},
                                  {f(renormalise, one), xv, std::abs(xv)}};
      if (std::abs(small) <= std::abs(x[0]))
        results.push_back({f(grow_fast, with), xv + small, std::abs(xv)});
      for (const Result& r : results) {
        for (std::size_t k = 1; k < c.length; ++k) {
          overlap += std::abs(r.numbers[k]) > ulp(format, r.numbers[k - 1]) / 2 ? 1 : 0;
        }
        // Subnormal errors of fp16 are multiples of 2^-24.
        far += std::abs(value(r.numbers) - r.exact) >
                       c.relative * r.size + (format.bias == 15 ? 0x1p-22 : 0)
                   ? 1
                   : 0;
      }
    }
    CHECK(overlap == 0);
    CHECK(far == 0);
  }
}

TEST_CASE("fast_two_sum needs its precondition, two_sum does not") {
  const MultiFloat f(Format::parse("bf16"), 2);
  CHECK(f(fast_two_sum, {-0.130859375, -5.90625})[1] == 0);
  const auto [s, e, none] = f(two_sum, {-0.130859375, -5.90625});
  CHECK(s + e == -0.130859375 - 5.90625);
}

TEST_CASE("the second number of 8-bit expansions needs an exponent offset, or a wider format") {
  const Format e4m3 = Format::parse("e4m3"), bf16 = Format::parse("bf16");
  const MultiFloat plain({{e4m3}, {e4m3}}), moved({{e4m3}, {e4m3, 8}}), wide({{e4m3}, {bf16}}),
      three({{e4m3}, {e4m3, 5}, {e4m3, 10}});
  struct Case {
    const char* why;
    const MultiFloat& f;
    double update;
    int times;
    double least, most;  // error after so many updates of a number that begins with 1
  };
  const Case cases[] = {{"an update is below half of the smallest number, 2^-9", plain, 0x1p-11, 10,
                         0x5p-10, 0x5p-10},
                        {"stored times 2^8", moved, 0x1p-11, 10, 0, 0},
                        {"but with 8 bits in all", moved, 0x1p-11, 1000, 0.4, 0.5},
                        {"bf16", wide, 0x1p-11, 1000, 0, 0.002},
                        {"three numbers", three, 0x1p-11, 1000, 0, 0.002}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    MultiFloat::Numbers x{1.0, 0, 0};
    for (int i = 0; i < c.times; ++i) {
      std::vector<double> in(x.begin(), x.begin() + std::ssize(c.f.components()));
      in.push_back(c.update);
      x = c.f(grow_safe, in);
    }
    const double error = std::abs(x[0] + x[1] + x[2] - (1 + c.times * c.update));
    CHECK(error >= c.least);
    CHECK(error <= c.most);
  }
}

TEST_CASE("what saturates is no longer exact, and formats that are no floats are refused") {
  const MultiFloat f(Format::parse("e4m3"), 2);
  const auto [s, e, none] = f(two_sum, {448, 32});
  CHECK(s == 448);      // 480 is beyond the largest number
  CHECK(s + e == 480);  // here the error can be held: this is no overflow of the expansion
  CHECK(f(two_sum, {448, 448})[0] == 448);
  CHECK_THROWS_WITH_AS(MultiFloat(Format::integer(8), 2),
                       "[multi float] expected floating formats such as bf16, got int8",
                       ConfigError);
  CHECK_THROWS_WITH_AS(MultiFloat(Format::parse("bf16"), 4),
                       "[multi float] expected 2 or 3 numbers an expansion, got 4", ConfigError);
  CHECK_THROWS_AS(static_cast<void>(f(grow_safe, {1.0})), ShapeError);
}
