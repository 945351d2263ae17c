#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "quant/gemm.h"
#include "quant/kernels/sums/wide_sum.h"
#include "quant_problems.h"

using namespace ebb;
using ebb::testing::Dice;

namespace {

__extension__ typedef __int128 int128;  // NOLINT(modernize-use-using)

const Site kSite{"fc"};

/// Numbers that a format holds, without a scale.
Operand row(const Tensor& x, const char* name) {
  Format format = Format::parse(name);
  format.scaling = {};
  return Operand(x.matrix(), {format}, Granularity::per_tensor, Key(1));
}

/// The product of a row and a column of numbers that their formats hold, in an accumulator.
float dot(const std::vector<float>& a, const char* a_format, const std::vector<float>& b,
          const char* b_format, const char* accumulator, std::string_view kernel = {}) {
  const auto k = std::ssize(a);
  Tensor x = Tensor::uninitialized({1, k}), y = Tensor::uninitialized({k, 1});
  std::ranges::copy(a, x.data());
  std::ranges::copy(b, y.data());
  CostLedger ledger;
  const Multiply how{
      .site = kSite, .accumulator = Accumulator::parse(accumulator), .kernel = kernel};
  return gemm(row(x, a_format), row(y, b_format), how, ledger).item();
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::equal(a.data(), a.data() + a.size(), b.data(), [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}

}  // namespace

TEST_CASE("a wide sum is exact, and rounds to odd") {
  using kernels::WideSum;
  Dice dice(Key(201));
  for (int round = 0; round < 2000; ++round) {
    WideSum sum;
    int128 want = 0;  // in units of 2^-60
    for (std::int64_t n = dice.between(1, 40); n > 0; --n) {
      const std::int64_t whole = dice.between(-(std::int64_t{1} << 40), std::int64_t{1} << 40);
      const auto shift = static_cast<int>(dice.between(0, 70));
      sum.add(std::ldexp(static_cast<double>(whole), shift - 60));
      want += static_cast<int128>(whole) << shift;
    }
    const double got = sum.rounded_to_odd();
    const bool negative = want < 0;
    auto magnitude = static_cast<uint128>(negative ? -want : want);
    int exponent = -60;
    bool lost = false;
    for (; magnitude >> 53 != 0; magnitude >>= 1, ++exponent) lost = lost || (magnitude & 1) != 0;
    const auto kept = static_cast<std::uint64_t>(magnitude) | (lost ? 1u : 0u);
    const double odd = std::ldexp(static_cast<double>(kept), exponent);
    CHECK(got == (negative ? -odd : odd));
  }
  WideSum ends;
  for (const double x : {0x1p287, 0x1p-384, -0x1p287}) ends.add(x);
  CHECK(ends.rounded_to_odd() == 0x1p-384);
  ends.add(-0x1p-383);
  CHECK(ends.rounded_to_odd() == -0x1p-384);
  ends.add(INFINITY);
  CHECK(ends.rounded_to_odd() == INFINITY);
  ends.add(-INFINITY);
  CHECK(std::isnan(ends.rounded_to_odd()));
  CHECK(std::bit_cast<std::uint64_t>(WideSum().rounded_to_odd()) == 0);
}

TEST_CASE("an addition rounded to odd is the exact one, rounded to odd") {
  Dice dice(Key(202));
  for (int round = 0; round < 20000; ++round) {
    const double a = std::ldexp(dice.normal(), static_cast<int>(dice.between(-60, 60))),
                 b = std::ldexp(dice.normal(), static_cast<int>(dice.between(-60, 60)));
    kernels::WideSum sum;
    sum.add(a);
    sum.add(b);
    CHECK(kernels::add_to_odd(a, b) == sum.rounded_to_odd());
  }
}

TEST_CASE("every accumulator sums as its definition says") {
  struct Case {
    const char* accumulator;
    const char *a_format, *b_format;
    std::vector<float> a, b;
    float sum;
  };
  const Case cases[] = {
      // One rounding of the exact sum; fp32 loses the 1 beside 2^25, and exact does not.
      {"exact", "bf16", "bf16", {0x1p25f, 1, -0x1p25f}, {1, 1, 1}, 1},
      {"fp32", "bf16", "bf16", {0x1p25f, 1, -0x1p25f}, {1, 1, 1}, 0},
      {"fp32_blocked(2)", "bf16", "bf16", {0x1p25f, 1, 1, -0x1p25f}, {1, 1, 1, 1}, 1},
      {"fp32_blocked(4)", "bf16", "bf16", {0x1p25f, 1, 1, -0x1p25f}, {1, 1, 1, 1}, 2},
      // A product and a sum are one operation: bf16 by way of float32 would give 1.515625.
      {"f_seq(bf16)", "bf16", "bf16", {-0x1p-30f, 1.0078125f}, {1, 1.5f}, 1.5078125f},
      // e5m2 has 8 and 10, and 9 is a tie to the even 8; chunks of two add 1 + 1 first.
      {"f_seq(e5m2)", "e4m3", "e4m3", {8, 1, 1}, {1, 1, 1}, 8},
      {"f_chunk(e5m2,2)", "e4m3", "e4m3", {8, 0, 1, 1}, {1, 1, 1, 1}, 10},
      // Beyond 448 an e4m3 sum stays there.
      {"f_seq(e4m3)", "e5m2", "e5m2", {448, 448, -64}, {1, 1, 1}, 384},
      // 13 bits of fraction beside 1: 2^-13 is the last to count, and two of 2^-14 are cut off.
      {"tc(13,32)", "bf16", "bf16", {1, 0x1p-13f}, {1, 1}, 1 + 0x1p-13f},
      {"tc(13,32)", "bf16", "bf16", {1, 0x1p-14f, 0x1p-14f}, {1, 1, 1}, 1},
      // Where 1 comes in the next chunk they have their own alignment, then the sum is cut.
      {"tc(13,2)", "bf16", "bf16", {0x1p-14f, 0x1p-14f, 1}, {1, 1, 1}, 1 + 0x1p-13f},
      {"tc(13,1)", "bf16", "bf16", {-0x1p-14f, -1}, {1, 1}, -1},
      // 1.5 x 1.5 is of the binade of 1 x 1: what lies beside it is cut at 2^-2.
      {"tc(2,4)", "bf16", "bf16", {1.5f, 0.125f}, {1.5f, 1}, 2},
      // Promotion: the register restarts from 0 and float32 has the 1.
      {"tc(4,2,2)", "bf16", "bf16", {1, 0, 0x1p-6f, 0}, {1, 1, 1, 1}, 1 + 0x1p-6f},
      {"tc(4,2)", "bf16", "bf16", {1, 0, 0x1p-6f, 0}, {1, 1, 1, 1}, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.accumulator);
    CAPTURE(c.a);
    CHECK(dot(c.a, c.a_format, c.b, c.b_format, c.accumulator) == c.sum);
    CHECK(dot(c.a, c.a_format, c.b, c.b_format, c.accumulator, "reference") == c.sum);
  }
}

TEST_CASE("kernels of sums equal the reference bit for bit, with any threads") {
  const char* const formats[] = {"e4m3", "e5m2", "bf16", "fp16",   "e2m1",
                                 "e3m2", "tf32", "e6m4", "posit8", "posit16"};
  const char* const accumulators[] = {
      "exact",           "fp32_blocked(7)", "f_seq(bf16)", "f_seq(e5m2)", "f_chunk(fp16,8)",
      "f_chunk(e4m3,3)", "tc(13,32,128)",   "tc(25,32)",   "tc(3,5)",     "fp32"};
  Dice dice(Key(203));
  const int threads = omp_get_max_threads();
  for (int round = 0; round < 300; ++round) {
    const std::int64_t m = dice.between(1, 9), n = dice.between(1, 9), k = dice.between(1, 300);
    Tensor x = Tensor::uninitialized({m, k}), y = Tensor::uninitialized({n, k});
    for (Tensor* each : {&x, &y}) {
      const auto spread = static_cast<int>(dice.between(0, 12));
      for (std::int64_t i = 0; i < each->size(); ++i) {
        const auto power = static_cast<int>(dice.between(-spread, spread));
        (*each)[i] = dice.one_in(9) ? 0 : static_cast<float>(std::ldexp(dice.normal(), power));
      }
    }
    if (dice.one_in(20)) x[dice.below(x.size())] = 3.39e38f;  // an infinity in bf16 and fp16
    const Operand a(x.matrix(), {Format::parse(formats[dice.below(10)])},
                    dice.one_in(2) ? Granularity::per_row : Granularity::per_tensor, Key(1));
    const Operand b =
        Operand(y.matrix(), {Format::parse(formats[dice.below(10)])},
                dice.one_in(2) ? Granularity::per_row : Granularity::per_tensor, Key(2))
            .transposed();
    const Accumulator accumulator = Accumulator::parse(accumulators[dice.below(10)]);
    CAPTURE(to_text(a.format()));
    CAPTURE(to_text(b.format()));
    CAPTURE(to_text(accumulator));
    CAPTURE(k);
    CostLedger ledger;
    const Tensor want =
        gemm(a, b, {.site = kSite, .accumulator = accumulator, .kernel = "reference"}, ledger);
    omp_set_num_threads(dice.one_in(2) ? 1 : 3);
    for (const Simd simd : {Simd::scalar, best_simd()})
      CHECK(same_bits(gemm(a, b, {.site = kSite, .accumulator = accumulator, .simd = simd}, ledger),
                      want));
    for (const char* kernel : {"sums", "slices", "slices-avx2", "slices-avx512"}) {
      if (accumulator.kind != Accumulator::Kind::exact) continue;
      const Multiply how{.site = kSite, .accumulator = accumulator, .kernel = kernel};
      bool does = true;
      try {
        static_cast<void>(choose_kernel(a, b, how));
      } catch (const ConfigError&) {
        does = false;
      }
      if (does) CHECK(same_bits(gemm(a, b, how, ledger), want));
    }
    omp_set_num_threads(threads);
  }
}

TEST_CASE("numbers of few bits are summed in slices, and sums stay exact where float64 ends") {
  const auto kernel_of = [](const char* a, const char* b) {
    const Tensor x = Tensor::filled({1, 3}, 1.0f), y = Tensor::filled({3, 1}, 1.0f);
    return choose_kernel(row(x, a), row(y, b),
                         {.site = kSite, .accumulator = Accumulator::exact()});
  };
  for (const char* format : {"e4m3", "e5m2", "fp16", "posit8", "posit16", "posit(9,3)"})
    CHECK(kernel_of(format, format) == "slices");
  for (const char* format : {"bf16", "tf32"}) CHECK(kernel_of(format, format) == "sums");
  // (448 / 2^-9)^2 171,196 <= 2^53. A sum of one product more than these, all the largest, and the
  // smallest one would lose it in float64, and rounds to another float32 without it.
  for (const std::int64_t k : {171195, 171196, 171197, 400000}) {
    CAPTURE(k);
    std::vector<float> a(static_cast<std::size_t>(k), 448.0f), b = a;
    const double all = static_cast<double>(k) * 448 * 448;
    CHECK(dot(a, "e4m3", b, "e4m3", "exact") == static_cast<float>(all));
    // The largest cancel each other, and what is left is the smallest.
    for (std::size_t i = 0; i < a.size() / 2; ++i) a[i] = -448;
    a.back() = b.back() = 0x1p-9f;
    const float left = k % 2 == 0 ? -448.0f * 448.0f : 0.0f;
    CHECK(dot(a, "e4m3", b, "e4m3", "exact") == left + 0x1p-18f);
  }
}

TEST_CASE("an exact product of scaled numbers is the exact sum, times both scales, rounded once") {
  Dice dice(Key(204));
  Tensor x = Tensor::uninitialized({5, 40}), y = Tensor::uninitialized({40, 7});
  for (Tensor* each : {&x, &y})
    for (std::int64_t i = 0; i < each->size(); ++i) (*each)[i] = dice.normal();
  const Operand a(x.matrix(), {Format::parse("e4m3")}, Granularity::per_row, Key(1)),
      b(y.matrix(), {Format::parse("e4m3")}, Granularity::per_column, Key(2));
  CostLedger ledger;
  const Tensor c = gemm(a, b, {.site = kSite, .accumulator = Accumulator::exact()}, ledger);
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 0; j < 7; ++j) {
      const double sa = a.grid(i).scale, sb = b.grid(j).scale;
      double sum = 0;  // 40 products of at most 36 bits: exact
      for (std::int64_t k = 0; k < 40; ++k) sum += a.value(i, k) / sa * (b.value(k, j) / sb);
      CHECK(c[i * 7 + j] == static_cast<float>(sum * (sa * sb)));
    }
  }
  CHECK(ledger.total_bit_ops() == uint128{5 * 7 * 40 * 64});
}
