#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "layers/attention.h"
#include "layers/conv2d.h"
#include "layers/graph.h"
#include "layers/gru.h"
#include "layers/linear.h"
#include "layers/probe.h"
#include "layers/shape_ops.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

const Format kInt4 = Format::integer(4), kInt6 = Format::integer(6);

/// A network with every kind of product: patches, a stride, groups, depthwise taps, causal
/// attention in strips and without, a recurrence, and sums over neighbours.
struct Network {
  static constexpr std::int64_t tokens = 144;
  Bench bench;
  Conv2d conv, strided, depthwise;
  Linear fc;
  Attention attention = Attention::create("attention", 2, true);
  Gru gru;
  Tensor images = random_tensor({1, 24, 24, 4}, Key(1)), direction = random_tensor({72, 4}, Key(2));

  Network() {
    ParamStore& params = bench.params;
    conv = Conv2d::create(params, "conv", random_tensor({4, 3, 3, 2}, Key(3)),
                          {.pad = 1, .groups = 2});
    strided = Conv2d::create(params, "strided", random_tensor({4, 2, 2, 4}, Key(4)), {.stride = 2});
    depthwise = Conv2d::create(params, "depthwise", random_tensor({4, 3, 3, 1}, Key(5)),
                               {.pad = 1, .groups = 4});
    fc = Linear::create(params, "fc", random_tensor({24, 4}, Key(6)), Tensor::zeros({24}));
    gru = Gru::create(params, "gru", 8, 4, Key(7));
  }

  /// The gradients of all parameters.
  Gradients sweep(const PrecisionPlan& plan, const Observer* observer = nullptr) {
    bench.ledger = {};
    Pass pass = bench.pass(plan);
    pass.observer = observer;
    Var x = conv(pass, pass.tape.constant(images));
    x = depthwise(pass, strided(pass, x));
    x = fc(pass, reshape(pass, x, {tokens, 4}));
    x = attention(pass, x, std::array<std::int64_t, 2>{80, 64});
    Csr ring{.cols = tokens};
    for (std::int32_t i = 0; i < tokens; ++i)
      ring.add_row(std::array{i, static_cast<std::int32_t>((i + 1) % tokens)});
    x = sum_neighbours(pass, Site("ring", {"aggregate"}), x, mean_neighbourhood(ring));
    Var state = pass.tape.constant(Tensor::zeros({72, 4}));
    static_cast<void>(gru(pass, x, state));
    return pass.tape.backward(dot(pass, state, direction));
  }
};

PrecisionPlan int6(Accumulator accumulator = {}) {
  PrecisionPlan plan = PrecisionPlan::uniform(kInt6, kInt6);
  plan.base.set_accumulator(accumulator);
  return plan;
}

}  // namespace

TEST_CASE("a probe changes no bit of a pass, whatever the pass's own formats are") {
  PrecisionPlan simulated = int6();
  simulated.simulate = true;
  for (const PrecisionPlan& plan : {PrecisionPlan::fp32(), int6(), simulated}) {
    Network network;
    const Gradients alone = network.sweep(plan);
    const CostLedger charged = network.bench.ledger;
    Measurements measured;
    const Observer observer =
        measuring(measured, true, {{kInt4, Format::parse("e4m3"), kInt6}, {Accumulator::wrap(12)}});
    CHECK(network.sweep(plan, &observer) == alone);
    CHECK(network.bench.ledger == charged);
    CHECK(!measured.probed.empty());
    CHECK(!measured.sums.empty());
  }
}

TEST_CASE("what a probe says of the format in use is what the pass itself meets") {
  for (const Accumulator accumulator : {Accumulator::wrap(9), Accumulator::saturate(9)}) {
    Network network;
    Measurements measured;
    const Observer observer = measuring(measured, true, {{kInt4, kInt6}, {accumulator}});
    network.sweep(int6(accumulator), &observer);

    // Each operand, of which the probe has two rows.
    REQUIRE(measured.probed.size() == 2 * measured.operands.size());
    for (std::size_t i = 0; i < measured.operands.size(); ++i) {
      const OperandQuality &own = measured.operands[i], &probed = measured.probed[2 * i + 1];
      CAPTURE(own.site);
      CHECK(probed.site == own.site);
      CHECK(probed.role == own.role);
      CHECK(probed.format == kInt6);
      CHECK(probed.elements == own.elements);
      CHECK(probed.at_ends == own.at_ends);
      CHECK(probed.zeros == own.zeros);
      CHECK(probed.underflow == own.underflow);
      CHECK(probed.sqnr_db == own.sqnr_db);
      CHECK(measured.probed[2 * i].format == kInt4);
    }
    // Each product that the ledger was charged for, and its overflow events.
    std::size_t products = 0;
    for (const CostLedger::Row& row : network.bench.ledger.rows()) {
      for (const Product product : kAllProducts) {
        const CostLedger::Cell& cell = row.cells[static_cast<std::size_t>(product)];
        if (cell.macs == 0) continue;
        ++products;
        CAPTURE(row.site.name);
        CAPTURE(to_text(product));
        const auto found = std::ranges::find_if(measured.sums, [&](const ProductSums& sums) {
          return sums.site == row.site.name && sums.product == product && sums.format == kInt6;
        });
        REQUIRE(found != measured.sums.end());
        CHECK(found->overflows[0].second == cell.overflow_events);
        CHECK((found->bits > 9 || found->overflows[0].second == 0));
      }
    }
    CHECK(measured.sums.size() == 2 * products);
  }
}

TEST_CASE(
    "sums of a product in another format: their bits and what narrow accumulators make of them") {
  // Symmetric int4 codes are -7 .. 7: those of x are 7 7, those of w 7 7 and 7 -1, so that the sums
  // are 49 + 49 = 98 and 49 - 7 = 42.
  struct Case {
    const char* accumulator;
    std::uint64_t events;
  };
  const Case cases[] = {{"wrap8", 0},  // -128 .. 127
                        {"wrap7", 1},  // -64 .. 63: 98 goes round once
                        {"wrap6", 3},  // -32 .. 31: 98 goes round twice, 42 once
                        {"sat8", 0},   // nothing is clipped
                        {"sat7", 1},   // 98
                        {"sat6", 4}};  // 49, 49 and their sum; the 49 of the other row
  Bench bench;
  const Linear fc =
      Linear::create(bench.params, "fc", Tensor::from({2, 2}, std::array{7.f, 7.f, 7.f, -1.f}), {});
  PrecisionPlan plan = PrecisionPlan::fp32();  // a float32 site has the run's style of grid
  plan.base.set_grid(GridStyle::symmetric);
  Probe probe{.formats = {kInt4}};
  for (const Case& c : cases) probe.accumulators.push_back(Accumulator::parse(c.accumulator));
  Measurements measured;
  const Observer observer = measuring(measured, true, probe);
  Pass pass = bench.pass(plan);
  pass.observer = &observer;
  static_cast<void>(fc(pass, pass.tape.constant(Tensor::from({1, 2}, std::array{7.f, 7.f}))));
  CHECK(measured.operands.empty());  // nothing of the pass itself has codes
  REQUIRE(measured.sums.size() == 1);
  const ProductSums& sums = measured.sums[0];
  CHECK(sums.site == "fc");
  CHECK(sums.product == Product::forward);
  CHECK(sums.format == kInt4);
  CHECK(sums.sums == 2);
  CHECK(sums.bits == 8);
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    CAPTURE(cases[i].accumulator);
    CHECK(sums.overflows[i].second == cases[i].events);
  }
}

TEST_CASE("a matrix that a format cannot hold has no row, and the pass goes on") {
  Bench bench;
  const Linear fc = Linear::create(bench.params, "fc", Tensor::filled({1, 2}, 1.0f), {});
  Measurements measured;
  const Observer observer = measuring(measured, false, {{kInt4}, {}});
  Pass pass = bench.pass();
  pass.observer = &observer;
  const Var y = fc(pass, pass.tape.constant(Tensor::from({1, 2}, std::array{3e38f, -3e38f})));
  CHECK(pass.tape[y][0] == 0.0f);
  REQUIRE(measured.probed.size() == 1);  // the weights; the width of x is beyond float32
  CHECK(measured.probed[0].role == Role::weight);
  CHECK(measured.sums.empty());
}
