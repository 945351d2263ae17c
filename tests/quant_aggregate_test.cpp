#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "quant/aggregate.h"
#include "tests/quant_problems.h"

using namespace ebb;
using ebb::testing::Dice;

namespace {

const Site kSite{"layer1.aggregate"};

/// Rows that list few, none, all or many times the same of `cols` columns, in any order.
Csr random_lists(Dice& dice, std::int64_t rows, std::int64_t cols) {
  Csr a{.cols = cols};
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<std::int32_t> row;
    const std::int64_t count =
        cols == 0 || dice.one_in(4) ? 0 : dice.between(1, dice.one_in(5) ? 60 : 6);
    for (std::int64_t e = 0; e < count; ++e)
      row.push_back(static_cast<std::int32_t>(dice.below(cols)));
    a.add_row(row);
  }
  return a;
}

bool same_bits(const Tensor& x, const Tensor& y) {
  if (x.shape() != y.shape()) return false;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(x[i]) != std::bit_cast<std::uint32_t>(y[i])) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("sums over neighbours are the definition's, in double, within its roundings") {
  Dice dice(Key(41));
  for (int round = 0; round < 400; ++round) {
    const std::int64_t rows = dice.between(0, 12), cols = dice.between(1, 12),
                       n = dice.between(1, 70);
    const Csr a = random_lists(dice, rows, cols);
    const Tensor x = ebb::testing::random_values(dice, cols, n);
    const bool float32 = dice.one_in(4);
    const Operand operand(x.matrix(), ebb::testing::random_encoding(dice, float32),
                          Granularity::per_tensor, dice.key());
    std::vector<float> scale;
    for (std::int64_t i = 0; i < rows && round % 2 == 0; ++i) scale.push_back(dice.normal());
    CostLedger ledger;
    const Tensor c =
        aggregate(a, scale, operand,
                  {.site = kSite, .product = Product::aggregate, .simd = best_simd()}, ledger);
    REQUIRE(c.shape() == Shape{rows, n});
    for (std::int64_t i = 0; i < rows; ++i) {
      const double s = scale.empty() ? 1.0 : double{scale[static_cast<std::size_t>(i)]};
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0, magnitudes = 0;
        for (const std::int32_t k : a.row(i)) {
          const double value = operand.value(k, j);
          sum += value;
          magnitudes +=
              std::abs(value) + (float32 ? 0.0 : 2 * std::abs(operand.grid().stored_zero()));
        }
        // Codes: at most four roundings of double of terms up to `magnitudes`, then one of float32.
        // Floats: one rounding of float32 an addition, and one of the product.
        const double count = static_cast<double>(a.count(i));
        const double bound =
            (float32 ? (count + 1) * 0x1p-24 : (count + 8) * 0x1p-53) * magnitudes * std::abs(s) +
            0x1p-24 * std::abs(s * sum) + std::numeric_limits<float>::denorm_min();
        CHECK(std::abs(double{c[i * n + j]} - s * sum) <= bound * (1 + 0x1p-20));
      }
    }
    const int width = operand.format().width;
    CHECK(ledger.total_bit_ops() == static_cast<uint128>(a.entries() * n * width));
    CHECK(ledger.forward_macs() == 0);  // the papers do not count it
  }
}

TEST_CASE("every instruction set and any accumulator gives the reference's bits") {
  Dice dice(Key(42));
  for (int round = 0; round < 600; ++round) {
    const std::int64_t rows = dice.between(0, 40), cols = dice.between(1, 30),
                       n = dice.between(1, dice.one_in(4) ? 300 : 40);
    const Csr a = random_lists(dice, rows, cols);
    const Tensor x = ebb::testing::random_values(dice, cols, n);
    Operand operand(x.matrix(), ebb::testing::random_encoding(dice, dice.one_in(4)),
                    Granularity::per_tensor, dice.key());
    if (dice.one_in(6)) operand = operand.decoded();
    std::vector<float> scale;
    for (std::int64_t i = 0; i < rows && dice.one_in(2); ++i)
      scale.assign(static_cast<std::size_t>(rows), dice.normal());
    const Accumulator accumulator = dice.one_in(2)   ? Accumulator::exact()
                                    : dice.one_in(2) ? Accumulator::wrap(dice.between(2, 20))
                                                     : Accumulator::saturate(dice.between(2, 20));
    Multiply how{.site = kSite,
                 .product = Product::aggregate_grad,
                 .accumulator = accumulator,
                 .kernel = "reference"};
    CostLedger first;
    const Tensor expected = aggregate(a, scale, operand, how, first);
    how.kernel = {};
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      how.simd = simd;
      CostLedger ledger;
      CAPTURE(static_cast<int>(simd));
      CHECK(same_bits(aggregate(a, scale, operand, how, ledger), expected));
      CHECK(ledger == first);
    }
  }
}

TEST_CASE(
    "more neighbours than 32 bits can sum are summed exactly, and overflows of a narrow register "
    "are counted") {
  constexpr std::int64_t many = 100'000;
  const Tensor x = Tensor::from({2, 1}, std::vector<float>{-1.0f, 1.0f});
  Csr a{.cols = 2};
  a.add_row(std::vector<std::int32_t>(many, 1));
  const Operand wide(x.matrix(), {Format::integer(16), GridStyle::symmetric},
                     Granularity::per_tensor, Key(0));  // 1 is code 32,767
  CostLedger ledger;
  const Multiply how{.site = kSite, .product = Product::aggregate, .simd = best_simd()};
  const float exact = static_cast<float>(double{wide.grid().scale} * 32767.0 * many);
  CHECK(aggregate(a, {}, wide, how, ledger)[0] == exact);
  CHECK(ledger.overflow_events() == 0);

  const Operand narrow(x.matrix(), {Format::integer(2), GridStyle::symmetric},
                       Granularity::per_tensor, Key(0));  // codes -1 and 1
  Multiply saturating = how;
  saturating.accumulator = Accumulator::saturate(4);  // holds -8 .. 7
  CHECK(aggregate(a, {}, narrow, saturating, ledger)[0] == 7.0f);
  CHECK(ledger.overflow_events() == many - 7);
}

TEST_CASE("what does not fit is refused") {
  const Tensor x = Tensor::filled({3, 2}, 1.0f);
  const Operand whole(x.matrix(), {Format::integer(4)}, Granularity::per_tensor, Key(0));
  const Operand by_row(x.matrix(), {Format::integer(4)}, Granularity::per_row, Key(0));
  const Csr a{.cols = 3, .starts = {0, 2}, .columns = {0, 2}}, other{.cols = 4, .starts = {0, 0}};
  const std::vector<float> two{1, 1};
  CostLedger ledger;
  const Multiply how{.site = kSite, .product = Product::aggregate};
  CHECK_THROWS_AS(aggregate(other, {}, whole, how, ledger), ShapeError);
  CHECK_THROWS_AS(aggregate(a, two, whole, how, ledger), ShapeError);
  CHECK_THROWS_AS(aggregate(a, {}, by_row, how, ledger), ShapeError);
  // What is summed in float32 alone takes no other accumulator.
  const Operand e4m3(x.matrix(), {Format::parse("e4m3")}, Granularity::per_tensor, Key(0));
  for (const Operand* const operand : {&whole, &e4m3}) {
    CHECK_THROWS_WITH_AS(aggregate(a, {}, *operand,
                                   {.site = kSite,
                                    .product = Product::aggregate,
                                    .accumulator = Accumulator::parse("hopper")},
                                   ledger),
                         doctest::Contains("is summed in float32 alone"), ConfigError);
  }
  CHECK_THROWS_AS(
      aggregate(a, {}, whole, {.site = kSite, .product = Product::aggregate, .kernel = "eigen"},
                ledger),
      ConfigError);
  CHECK(ledger == CostLedger());
}
