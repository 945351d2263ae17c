#include <doctest/doctest.h>

#include <atomic>
#include <bit>
#include <vector>

#include "core/error.h"
#include "quant/depthwise.h"
#include "tests/quant_problems.h"

using namespace ebb;
using ebb::testing::Dice;

namespace {

const Site kSite{"block1.depthwise"};

/// Bit for bit, but any NaN equals any other: IEEE leaves its payload open.
bool same_bits(const Tensor& x, const Tensor& y) {
  if (x.shape() != y.shape()) return false;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(x[i]) != std::bit_cast<std::uint32_t>(y[i]) &&
        (x[i] == x[i] || y[i] == y[i]))
      return false;
  }
  return true;
}

/// Images beside the taps of their channels and a gradient of the positions, all of random widths,
/// grids and values.
struct RandomDepthwise {
  std::vector<Tensor> memory;
  PatchGeometry geometry;
  std::vector<Operand> operands;
  Accumulator accumulator;
  std::string what;

  [[nodiscard]] const Operand& images() const { return operands[0]; }
  [[nodiscard]] const Operand& weights() const { return operands[1]; }
  [[nodiscard]] const Operand& gradient() const { return operands[2]; }
  [[nodiscard]] std::int64_t channels() const { return geometry.channels; }
  [[nodiscard]] std::int64_t taps() const { return geometry.taps_y * geometry.taps_x; }

  /// One channel of the images, gathered.
  [[nodiscard]] Operand patches(std::int64_t channel) const {
    PatchGeometry one = geometry;
    one.channels = 1;
    return images().columns(channel, 1).patches(one);
  }
};

RandomDepthwise random_depthwise(std::uint64_t i) {
  Dice dice(Key(51).fold(i));
  RandomDepthwise p;
  const bool float32 = dice.one_in(5),
             half = !float32 && dice.one_in(5);  // half: float32 beside codes
  const std::int64_t channels = dice.between(1, dice.one_in(4) ? 150 : 20);
  p.geometry = ebb::testing::random_geometry(dice, channels, channels);
  p.geometry.nominal_positions = dice.between(1, 1000);
  p.accumulator = float32 || half ? Accumulator::exact() : ebb::testing::random_accumulator(dice);
  const PatchGeometry& g = p.geometry;
  p.memory.push_back(ebb::testing::random_values(dice, g.images * g.height * g.width, channels));
  p.memory.push_back(ebb::testing::random_values(dice, channels, p.taps()));
  p.memory.push_back(ebb::testing::random_values(dice, g.rows(), channels));
  if (float32 && dice.one_in(3)) p.memory[1][0] = -std::numeric_limits<float>::infinity();
  const auto encoding = [&] {
    return ebb::testing::random_encoding(dice, half ? dice.one_in(2) : float32);
  };
  p.operands.emplace_back(p.memory[0].matrix(), encoding(), Granularity::per_tensor, dice.key());
  p.operands.push_back(Operand(p.memory[1].matrix(), encoding(),
                               dice.one_in(3) ? Granularity::per_tensor : Granularity::per_row,
                               dice.key())
                           .transposed());
  p.operands.emplace_back(p.memory[2].matrix(), encoding(), Granularity::per_tensor, dice.key());
  if (dice.one_in(8)) {
    Operand& any = p.operands[static_cast<std::size_t>(dice.below(3))];
    any = any.decoded();
  }
  p.what = concat('#', i, ' ', p.accumulator, ' ', channels, " channels, taps ", g.taps_y, 'x',
                  g.taps_x, " step ", g.step, " divide ", g.divide, ' ', p.images().format(), ' ',
                  p.weights().format(), ' ', p.gradient().format());
  return p;
}

}  // namespace

TEST_CASE(
    "depthwise products are the matrix products of every channel by itself, bit for bit, on every "
    "instruction set") {
  for (std::uint64_t i = 0; i < 250; ++i) {
    const RandomDepthwise p = random_depthwise(i);
    CAPTURE(p.what);
    const std::int64_t rows = p.geometry.rows(), channels = p.channels();
    Multiply how{.site = kSite,
                 .product = Product::forward,
                 .accumulator = p.accumulator,
                 .kernel = "reference"};
    CostLedger expected_ledger;
    Tensor expected = Tensor::uninitialized({rows, channels}),
           expected_weights = Tensor::uninitialized({channels, p.taps()});
    for (std::int64_t c = 0; c < channels; ++c) {
      how.product = Product::forward;
      gemm_into(p.patches(c), p.weights().columns(c, 1), how, expected_ledger,
                {expected.data() + c, rows, 1, channels});
      how.product = Product::grad_right;
      gemm_into(p.patches(c).transposed(), p.gradient().columns(c, 1), how, expected_ledger,
                {expected_weights.data() + c * p.taps(), p.taps(), 1, 1});
    }
    for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (simd > best_simd()) continue;
      CAPTURE(static_cast<int>(simd));
      std::atomic<std::int64_t> done = 0;
      Multiply fast{
          .site = kSite, .product = Product::forward, .accumulator = p.accumulator, .simd = simd};
      fast.rows_done = [&](std::int64_t first, std::int64_t last) {
        done += first % kRowsDone == 0 ? last - first : 0;
      };
      CostLedger ledger;
      Tensor y = Tensor::uninitialized({rows, channels}),
             gw = Tensor::uninitialized({channels, p.taps()});
      depthwise_into(p.images(), p.geometry, p.weights(), fast, ledger,
                     {y.data(), rows, channels, channels});
      CHECK(done == rows);
      fast.product = Product::grad_right;
      fast.rows_done = {};
      depthwise_grad_weight_into(p.images(), p.geometry, p.gradient(), fast, ledger, gw.data());
      CHECK(same_bits(y, expected));
      CHECK(same_bits(gw, expected_weights));
      CHECK(ledger.save() == expected_ledger.save());
    }
  }
}

TEST_CASE("sums of many extreme codes stay exact") {
  // Every code at an end of its grid, more positions than 24 bits of sums of products could hold.
  for (const int bits : {8, 12, 16}) {
    CAPTURE(bits);
    const std::int64_t images = 4, channels = 19;
    PatchGeometry g{.images = images,
                    .height = 32,
                    .width = 32,
                    .channels = channels,
                    .pixel_stride = channels,
                    .out_height = 32,
                    .out_width = 32,
                    .taps_y = 3,
                    .taps_x = 3,
                    .pad_top = 1,
                    .pad_left = 1};
    g.nominal_positions = g.rows();
    Tensor x = Tensor::filled({g.rows(), channels}, 1.0f);
    x[0] = -1.0f;
    const Operand codes(x.matrix(), {Format::integer(bits), GridStyle::affine},
                        Granularity::per_tensor, Key(0));
    CostLedger ledger;
    const Multiply how{.site = kSite, .product = Product::grad_right, .simd = best_simd()};
    Tensor gw = Tensor::uninitialized({channels, 9});
    depthwise_grad_weight_into(codes, g, codes, how, ledger, gw.data());
    Multiply reference = how;
    reference.kernel = "reference";
    Tensor expected = Tensor::uninitialized({channels, 9});
    depthwise_grad_weight_into(codes, g, codes, reference, ledger, expected.data());
    CHECK(same_bits(gw, expected));
  }
}

TEST_CASE("depthwise products refuse what does not fit") {
  const Tensor x = Tensor::filled({12, 2}, 1.0f), w = Tensor::filled({4, 2}, 1.0f),
               narrow = Tensor::filled({4, 1}, 1.0f);
  const PatchGeometry g{.images = 1,
                        .height = 3,
                        .width = 4,
                        .channels = 2,
                        .pixel_stride = 2,
                        .out_height = 2,
                        .out_width = 3,
                        .taps_y = 2,
                        .taps_x = 2,
                        .nominal_positions = 6};
  const auto operand = [](const Tensor& t, Granularity granularity = Granularity::per_tensor) {
    return Operand(t.matrix(), {Format::integer(4)}, granularity, Key(0));
  };
  CostLedger ledger;
  std::vector<float> memory(12);
  const Multiply how{.site = kSite, .product = Product::forward};
  const auto into = [&](const Operand& weights, const Multiply& so, std::int64_t rows) {
    depthwise_into(operand(x), g, weights, so, ledger, {memory.data(), rows, 2, 2});
  };
  CHECK_THROWS_AS(into(operand(narrow), how, 6), ShapeError);
  CHECK_THROWS_AS(into(operand(w).rows(0, 3), how, 6), ShapeError);
  CHECK_THROWS_AS(into(operand(w, Granularity::per_row), how, 6), ShapeError);
  CHECK_THROWS_AS(into(operand(w), how, 5), ShapeError);
  CHECK_THROWS_AS(
      into(operand(w), {.site = kSite, .product = Product::forward, .kernel = "eigen"}, 6),
      ConfigError);
  CHECK_THROWS_AS(depthwise_grad_weight_into(operand(x), g, operand(x), how, ledger, memory.data()),
                  ShapeError);
  // What is summed in float32 alone takes no other accumulator.
  const Operand e4m3(w.matrix(), {Format::parse("e4m3")}, Granularity::per_tensor, Key(0));
  for (const char* const accumulator : {"hopper", "exact", "wrap16"}) {
    const Multiply asked{
        .site = kSite, .product = Product::forward, .accumulator = Accumulator::parse(accumulator)};
    CHECK_THROWS_WITH_AS(into(e4m3, asked, 6), doctest::Contains("e4m3 is summed in float32 alone"),
                         ConfigError);
  }
  CHECK(ledger == CostLedger());
}
