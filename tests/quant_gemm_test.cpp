#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "quant/gemm.h"
#include "quant_problems.h"

using namespace ebb;
using namespace ebb::testing;

namespace {

const Site kSite{"conv1", {"first"}};

}  // namespace

TEST_CASE(
    "float32 beside codes, gathered or dense, on either side: chains over the decoded values, at "
    "every SIMD level") {
  for (std::uint64_t i = 0; i < 300; ++i) {
    Dice dice(Key(36).fold(i));
    RandomProduct p;
    const bool float_patches = dice.one_in(2), on_the_left = dice.one_in(2);
    Operand gathered = random_patches(dice, p, float_patches);
    if (dice.one_in(2)) gathered = gathered.transposed();
    const std::int64_t free = dice.between(1, 40);
    const Operand other =
        on_the_left
            ? random_dense(dice, p, gathered.cols(), free, !float_patches, Granularity::per_column)
            : random_dense(dice, p, free, gathered.rows(), !float_patches, Granularity::per_row);
    const Operand &a = on_the_left ? gathered : other, &b = on_the_left ? other : gathered;
    const auto value = [](const Operand& q, const Grid& grid, std::int64_t row, std::int64_t col) {
      const std::int64_t at = q.codes().offset(row, col);
      return q.is_float() ? q.codes().value_at(at)
             : at < 0     ? 0.0f
                          : decode(q.codes().code_at(at) + grid.centre(), grid);
    };
    Tensor want = Tensor::uninitialized({a.rows(), b.cols()});
    for (std::int64_t r = 0; r < a.rows(); ++r) {
      for (std::int64_t c = 0; c < b.cols(); ++c) {
        float chain = 0;
        for (std::int64_t k = 0; k < a.cols(); ++k)
          chain = std::fma(value(a, a.is_float() ? Grid{} : grid_of_row(a, r), r, k),
                           value(b, b.is_float() ? Grid{} : grid_of_column(b, c), k, c), chain);
        want[r * b.cols() + c] = chain;
      }
    }
    CAPTURE(p.what);
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      CostLedger ledger;
      if (simd <= best_simd()) CHECK(gemm(a, b, {.site = kSite, .simd = simd}, ledger) == want);
    }
  }
}

TEST_CASE(
    "an integer operand beside a float32 one is decoded; simulated operands multiply decoded "
    "values and charge their format") {
  Dice dice(Key(35));
  for (int i = 0; i < 100; ++i) {
    const std::int64_t m = dice.between(1, 5), k = dice.between(0, 30), n = dice.between(1, 5);
    const Tensor x = random_values(dice, m, k), w = random_values(dice, k, n);
    const Encoding e8{Format::integer(8)}, e5{Format::integer(5), GridStyle::symmetric}, fp32{};
    const Operand a(x.matrix(), e8, Granularity::per_row, Key(1)),
        b(w.matrix(), e5, Granularity::per_column, Key(2));
    const Operand a32(x.matrix(), fp32, Granularity::per_tensor, Key(1)),
        b32(w.matrix(), fp32, Granularity::per_tensor, Key(2));
    const Operand::Options simulate{.simulate = true};
    const Operand sa(x.matrix(), e8, Granularity::per_row, Key(1), simulate),
        sb(w.matrix(), e5, Granularity::per_column, Key(2), simulate);
    CostLedger ledger;
    const Tensor mixed = gemm(a, b32, {kSite}, ledger);
    CHECK(ledger.total_bit_ops() == static_cast<uint128>(m * k * n * 8 * 32));
    const Tensor other = gemm(a32, b, {kSite}, ledger), simulated = gemm(sa, sb, {kSite}, ledger);
    CHECK(ledger.total_bit_ops() == static_cast<uint128>(m * k * n * (8 * 32 + 32 * 5 + 8 * 5)));
    const auto value = [](const Operand& q, const Grid& g, std::int64_t r, std::int64_t c) {
      return decode(q.codes().code_at(q.codes().offset(r, c)) + g.centre(), g);
    };
    int wrong = 0;
    for (std::int64_t r = 0; r < m; ++r) {
      for (std::int64_t c = 0; c < n; ++c) {
        float chains[3] = {0, 0, 0};
        for (std::int64_t t = 0; t < k; ++t) {
          const float xa = x[r * k + t], wb = w[t * n + c], da = value(a, a.grid(r), r, t),
                      db = value(b, b.grid(c), t, c);
          chains[0] = std::fma(da, wb, chains[0]);
          chains[1] = std::fma(xa, db, chains[1]);
          chains[2] = std::fma(da, db, chains[2]);
        }
        const std::int64_t at = r * n + c;
        wrong += mixed[at] != chains[0] || other[at] != chains[1] || simulated[at] != chains[2];
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE(
    "finished rows are reported once each, in ranges that begin at multiples of 64, and hold what "
    "they will hold at the end" *
    doctest::test_suite("large")) {
  Dice dice(Key(36));
  // Images of one block and of several, of lines that fill blocks of 64 rows and of lines that do
  // not, with 1 and 2 parts an axis.
  const PatchGeometry geometries[] = {{.images = 3,
                                       .height = 16,
                                       .width = 16,
                                       .channels = 8,
                                       .out_height = 16,
                                       .out_width = 16,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 2,
                                       .height = 80,
                                       .width = 48,
                                       .channels = 32,
                                       .out_height = 80,
                                       .out_width = 48,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 2,
                                       .height = 70,
                                       .width = 50,
                                       .channels = 33,
                                       .out_height = 69,
                                       .out_width = 47,
                                       .taps_y = 2,
                                       .taps_x = 4},
                                      {.images = 2,
                                       .height = 65,
                                       .width = 41,
                                       .channels = 16,
                                       .out_height = 33,
                                       .out_width = 21,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .step = 2,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 2,
                                       .height = 16,
                                       .width = 16,
                                       .channels = 16,
                                       .out_height = 32,
                                       .out_width = 32,
                                       .taps_y = 3,
                                       .taps_x = 3,
                                       .divide = 2,
                                       .pad_top = 1,
                                       .pad_left = 1},
                                      {.images = 5,
                                       .height = 3,
                                       .width = 4,
                                       .channels = 5,
                                       .out_height = 3,
                                       .out_width = 4,
                                       .taps_y = 1,
                                       .taps_x = 1}};
  for (PatchGeometry g : geometries) {
    g.pixel_stride = g.channels;
    g.nominal_positions = g.rows();
    const Tensor image = random_values(dice, g.images * g.height * g.width, g.channels),
                 w = random_values(dice, g.cols(), 20);
    for (const int bits : {8, 12, 32}) {
      const Encoding e{bits == 32 ? Format::fp32() : Format::integer(bits)};
      const Operand patches =
          Operand(image.matrix(), e, Granularity::per_tensor, Key(1)).patches(g);
      const Operand b(w.matrix(), e, Granularity::per_column, Key(2));
      CostLedger ledger;
      const Tensor expected = gemm(patches, b, {.site = kSite, .kernel = "reference"}, ledger);
      Tensor c = Tensor::filled(expected.shape(), -1.0f);
      std::vector<std::atomic<int>> times(static_cast<std::size_t>(g.rows()));
      std::atomic<int> wrong = 0;
      const RowsDone rows_done = [&](std::int64_t first, std::int64_t last) {
        wrong += first % kRowsDone != 0 || (last % kRowsDone != 0 && last != g.rows());
        for (std::int64_t i = first; i < last; ++i) ++times[static_cast<std::size_t>(i)];
        wrong +=
            !std::equal(c.data() + first * 20, c.data() + last * 20, expected.data() + first * 20);
      };
      gemm_into(patches, b, {.site = kSite, .simd = best_simd(), .rows_done = rows_done}, ledger,
                {c.data(), g.rows(), 20, 20});
      CAPTURE(g.height);
      CAPTURE(bits);
      CHECK(wrong == 0);
      CHECK(std::all_of(times.begin(), times.end(),
                        [](const std::atomic<int>& n) { return n == 1; }));
    }
  }
}

TEST_CASE("gemm refuses what does not fit, before it writes or charges anything") {
  const Tensor x = Tensor::filled({4, 6}, 1.0f), w = Tensor::filled({6, 3}, 2.0f),
               image = Tensor::filled({4, 6}, 1.0f);
  const Encoding e{Format::integer(8)};
  const Operand a(x.matrix(), e, Granularity::per_tensor, Key(0)),
      b(w.matrix(), e, Granularity::per_tensor, Key(0));
  const Operand by_column(x.matrix(), e, Granularity::per_column, Key(0)),
      by_row(w.matrix(), e, Granularity::per_row, Key(0));
  const PatchGeometry pointwise{.images = 1,
                                .height = 2,
                                .width = 2,
                                .channels = 6,
                                .pixel_stride = 6,
                                .out_height = 2,
                                .out_width = 2,
                                .taps_y = 1,
                                .taps_x = 1,
                                .nominal_positions = 4};
  const Operand patches =
      Operand(image.matrix(), e, Granularity::per_tensor, Key(0)).patches(pointwise);
  CostLedger ledger;
  const auto run = [&](const Operand& left, const Operand& right) {
    gemm(left, right, {kSite, Product::grad_left}, ledger);
  };
  CHECK_THROWS_WITH_AS(run(a, a), "[conv1 grad_left] cannot multiply 4 x 6 by 4 x 6", ShapeError);
  CHECK_THROWS_AS(run(by_column, b), ShapeError);
  CHECK_THROWS_AS(run(a, by_row), ShapeError);
  CHECK_THROWS_AS(run(patches, patches.transposed()), ShapeError);
  float room[12];
  std::fill(std::begin(room), std::end(room), -1.0f);
  CHECK_THROWS_AS(gemm_into(a, b, {kSite}, ledger, {room, 3, 4, 4}), ShapeError);
  CHECK(std::all_of(std::begin(room), std::end(room), [](float v) { return v == -1.0f; }));
  CHECK(ledger.total_macs() == 0);
  gemm_into(a, b, {kSite}, ledger, {room, 4, 3, 3});
  CHECK(room[11] == 12.0f);
}

TEST_CASE("products of decoded formats are chains in float32 of numbers, scaled at the end") {
  struct Case {
    const char *left, *right;
    int bits;
  };
  const Case cases[] = {{"e4m3", "e4m3", 64}, {"e4m3", "e5m2", 64},  {"bf16", "e2m1", 64},
                        {"e5m0", "int4", 24}, {"int8", "fp16", 128}, {"tf32", "bf16", 304},
                        {"fp32", "e4m3", 256}};
  Dice dice(Key(93));
  for (const Case& c : cases) {
    CAPTURE(c.left);
    CAPTURE(c.right);
    Tensor x = Tensor::uninitialized({17, 70}), y = Tensor::uninitialized({70, 9});
    for (Tensor* each : {&x, &y}) {
      for (std::int64_t i = 0; i < each->size(); ++i) (*each)[i] = dice.normal();
    }
    const Operand a(x.matrix(), {Format::parse(c.left)}, Granularity::per_row, Key(1)),
        b(y.matrix(), {Format::parse(c.right)}, Granularity::per_column, Key(2));
    Tensor want = Tensor::uninitialized({17, 9});
    // Beside float32 and integers the scales are in what is summed.
    const bool numbers = has_codec(a.format()) && has_codec(b.format()) && !a.format().is_fp32();
    const auto number = [&](const Operand& operand, std::int64_t at_row, std::int64_t at_col,
                            std::int64_t line) {
      const double value = (numbers ? operand : operand.decoded()).value(at_row, at_col);
      return static_cast<float>(numbers ? value / static_cast<double>(operand.grid(line).scale)
                                        : value);
    };
    for (std::int64_t i = 0; i < 17; ++i) {
      for (std::int64_t j = 0; j < 9; ++j) {
        float chain = 0;
        for (std::int64_t k = 0; k < 70; ++k)
          chain = std::fma(number(a, i, k, i), number(b, k, j, j), chain);
        const double scale =
            numbers ? static_cast<double>(a.grid(i).scale) * static_cast<double>(b.grid(j).scale)
                    : 1;
        want[i * 9 + j] = static_cast<float>(static_cast<double>(chain) * scale);
      }
    }
    CostLedger ledger;
    CHECK(gemm(a, b, {.site = kSite}, ledger) == want);
    CHECK(gemm(a, b, {.site = kSite, .simd = best_simd()}, ledger) == want);
    CHECK(ledger.total_bit_ops() == uint128{2} * 17 * 70 * 9 * static_cast<uint128>(c.bits));
  }
}
