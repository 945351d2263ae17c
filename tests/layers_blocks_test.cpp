#include <doctest/doctest.h>
#include <omp.h>

#include <array>
#include <bit>
#include <vector>

#include "layers/attention.h"
#include "layers/conv2d.h"
#include "layers/elementwise.h"
#include "layers/gru.h"
#include "layers/linear.h"
#include "layers/loss.h"
#include "layers/lstm.h"
#include "layers/shape_ops.h"
#include "passes.h"
#include "quant/patches.h"

using namespace ebb;
using namespace ebb::test;

namespace {

Format blocks_of(Format element, Scaling::Kind kind, std::uint16_t block) {
  element.scaling = {.kind = kind, .block = block};
  return element;
}

const Format kMxfp4 = blocks_of(Format::floating(2, 1), Scaling::Kind::e8m0, 32),
             kMxfp8 = blocks_of(Format::floating(4, 3), Scaling::Kind::e8m0, 32);

PrecisionPlan nearest(Format forward, Format gradient) {
  PrecisionPlan plan = PrecisionPlan::uniform(forward, gradient);
  plan.base.gradient.rounding = Rounding::nearest_even;
  return plan;
}

Operand blocks(const ConstMatrix& x, Format format, int axis) {
  return {
      x, {.format = format}, axis == 1 ? Granularity::per_row : Granularity::per_column, Key(1)};
}

Tensor times(const Operand& a, const Operand& b) {
  const Site site("expected");
  CostLedger ledger;
  return gemm(a, b, {.site = site}, ledger);
}

/// The same elements, whatever the shape.
bool same(const Tensor& x, const Tensor& y) { return std::ranges::equal(x.values(), y.values()); }

/// Images of two classes, bright on the left or on the right.
struct Pictures {
  Tensor x = random_tensor({12, 8, 8, 3}, Key(5), 0.5);
  std::vector<std::int32_t> labels;
  Pictures() {
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const std::int64_t image = i / 192, column = i / 3 % 8;
      if ((column < 4) == (image % 2 == 0)) x[i] += 1.0f;
    }
    for (std::int32_t i = 0; i < 12; ++i) labels.push_back(i % 2);
  }
};

/// Convolutions and a linear layer, beside an attention over pixels and recurrences over them.
struct Network {
  ParamStore params;
  Conv2d first =
      Conv2d::create(params, "first", random_tensor({9, 3, 3, 3}, Key(1), 0.2), {.pad = 1});
  Conv2d second = Conv2d::create(params, "second", random_tensor({12, 3, 3, 3}, Key(2), 0.2),
                                 {.stride = 2, .pad = 1, .groups = 3});
  Conv2d depthwise = Conv2d::create(params, "depthwise", random_tensor({12, 3, 3, 1}, Key(3), 0.3),
                                    {.pad = 1, .groups = 12});
  Attention attention = Attention::create("attention", 2, true);
  Lstm lstm = Lstm::create(params, "lstm", 4, 5, Key(4));
  Gru gru = Gru::create(params, "gru", 5, 6, Key(4));
  Linear last =
      Linear::create(params, "last", random_tensor({2, 192}, Key(5), 0.1), Tensor::zeros({2}));
  Linear other = Linear::create(params, "other", random_tensor({2, 96}, Key(6), 0.1), std::nullopt);

  Var operator()(Pass& pass, const Tensor& images) const {
    Var y = relu(pass, first(pass, pass.tape.constant(images)));
    y = depthwise(pass, relu(pass, second(pass, y)));  // [12, 4, 4, 12]
    const Var logits = last(pass, reshape(pass, y, {12, 192}));
    y = attention(pass, reshape(pass, y, {192, 12}), equal_lengths(192, 2));  // [192, 4]
    LstmState state{pass.tape.constant(Tensor::zeros({12, 5})),
                    pass.tape.constant(Tensor::zeros({12, 5}))};
    Var hidden = pass.tape.constant(Tensor::zeros({12, 6}));
    y = gru(pass, lstm(pass, y, state), hidden);  // [192, 6]
    return add(pass, logits, other(pass, reshape(pass, y, {12, 96})));
  }
};

struct Outcome {
  std::vector<float> losses;
  std::uint64_t hash = 0;
};

Outcome train(Format forward, Format gradient, int threads, int steps) {
  omp_set_num_threads(threads);
  const Pictures pictures;
  Network network;
  CostLedger ledger;
  Outcome outcome;
  for (int step = 0; step < steps; ++step) {
    Pass pass{.params = network.params,
              .plan = PrecisionPlan::uniform(forward, gradient),
              .ledger = ledger,
              .key = Key(9).fold(static_cast<std::uint64_t>(step))};
    const Var loss = softmax_cross_entropy(pass, network(pass, pictures.x), pictures.labels);
    outcome.losses.push_back(pass.tape[loss][0]);
    const Gradients gradients = pass.tape.backward(loss);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      Tensor& value = network.params[ParamId{static_cast<std::int32_t>(i)}];
      for (std::int64_t j = 0; j < gradients[i].size(); ++j) {
        value[j] -= 0.1f * gradients[i][j];
        outcome.hash = outcome.hash * 1099511628211u + std::bit_cast<std::uint32_t>(value[j]);
      }
    }
  }
  return outcome;
}

}  // namespace

TEST_CASE("each product of a linear layer has blocks along what it contracts, from the source") {
  Bench bench;
  const Tensor w = random_tensor({40, 70}, Key(1)), x = random_tensor({50, 70}, Key(2)),
               g = random_tensor({50, 40}, Key(3));
  const Linear linear = Linear::create(bench.params, "linear", w, std::nullopt);
  Pass pass = bench.pass(nearest(kMxfp4, kMxfp8));
  const Var in = pass.tape.variable(x), y = linear(pass, in);
  CHECK(same(pass.tape[y],
             times(blocks(x.matrix(), kMxfp4, 1), blocks(w.matrix(), kMxfp4, 1).transposed())));
  const Gradients gradients = pass.tape.backward(dot(pass, y, g));
  CHECK(same(pass.tape.gradient_of(in),
             times(blocks(g.matrix(), kMxfp8, 1), blocks(w.matrix(), kMxfp4, 0))));
  CHECK(same(gradients[static_cast<std::size_t>(linear.weight.index)],
             times(blocks(g.matrix(), kMxfp8, 0).transposed(), blocks(x.matrix(), kMxfp4, 0))));
}

TEST_CASE("a convolution encodes its patches in blocks, and is charged as ever") {
  Bench bench;
  const Tensor w = random_tensor({7, 3, 3, 5}, Key(1)), x = random_tensor({2, 6, 6, 5}, Key(2)),
               g = random_tensor({2, 3, 3, 7}, Key(3));
  const Conv2d conv = Conv2d::create(bench.params, "conv", w, {.stride = 2, .pad = 1});
  const PatchGeometry geometry{.images = 2,
                               .height = 6,
                               .width = 6,
                               .channels = 5,
                               .pixel_stride = 5,
                               .out_height = 3,
                               .out_width = 3,
                               .taps_y = 3,
                               .taps_x = 3,
                               .step = 2,
                               .pad_top = 1,
                               .pad_left = 1,
                               .nominal_positions = 18};
  const Tensor patches = patch_matrix(x.data(), geometry);
  const ConstMatrix weights{w.data(), 7, 45, 45, 1}, gradient{g.data(), 18, 7, 7, 1};
  Pass pass = bench.pass(nearest(kMxfp4, kMxfp8));
  const Var in = pass.tape.variable(x), y = conv(pass, in);
  CHECK(same(pass.tape[y],
             times(blocks(patches.matrix(), kMxfp4, 1), blocks(weights, kMxfp4, 1).transposed())));
  const Gradients gradients = pass.tape.backward(dot(pass, y, g));
  CHECK(same(gradients[static_cast<std::size_t>(conv.weight.index)],
             times(blocks(gradient, kMxfp8, 0).transposed(), blocks(patches.matrix(), kMxfp4, 0))));
  const uint128 macs = 18 * 7 * 45;
  // Scales of 8 bits. Forward 18 patches and 7 filters have two blocks for their 45 elements; for
  // the input's gradient so have 72 pixels and 5 channels for 63; 18 positions are one block.
  const std::array<CostLedger::Cell, kProducts> expected{
      {{macs, macs * 16, 0, 8 * 2 * (18 + 7)},
       {macs, macs * 32, 0, 8 * 2 * (72 + 5)},
       {macs, macs * 32, 0, 8 * (7 + 45)}}};
  REQUIRE(bench.ledger.rows().size() == 1);
  CHECK(bench.ledger.rows()[0].cells == expected);
}

TEST_CASE("networks train in every block format, the same with any number of threads") {
  const Format e2m1 = Format::floating(2, 1);
  struct Case {
    const char* name;
    Format forward, gradient;
  };
  const Format mxfp6 = blocks_of(Format::floating(3, 2), Scaling::Kind::e8m0, 32),
               mxint8 = blocks_of(Format::integer(8), Scaling::Kind::e8m0, 32),
               msfp12 = blocks_of(Format::integer(4), Scaling::Kind::pow2, 16),
               nvfp4 = blocks_of(e2m1, Scaling::Kind::ue4m3, 16);
  const Case cases[] = {
      {"mxfp8", kMxfp8, blocks_of(Format::floating(5, 2), Scaling::Kind::e8m0, 32)},
      {"mxfp6", mxfp6, mxfp6},
      {"mxfp4", kMxfp4, kMxfp4},
      {"mxint8", mxint8, mxint8},
      {"nvfp4", nvfp4, nvfp4},
      {"msfp12", msfp12, msfp12},
      {"mxfp4 beside int8", kMxfp4, Format::integer(8)},
      {"int8 beside mxfp8", Format::integer(8), kMxfp8},
  };
  const int threads = omp_get_max_threads();
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Outcome one = train(c.forward, c.gradient, 1, 10),
                  two = train(c.forward, c.gradient, 2, 10);
    CHECK(one.hash == two.hash);
    CHECK(one.losses.back() < 0.8f * one.losses.front());
  }
  omp_set_num_threads(threads);
}
