#include <doctest/doctest.h>
#include <omp.h>

#include <array>
#include <bit>
#include <optional>
#include <string_view>
#include <vector>

#include "layers/attention.h"
#include "layers/conv2d.h"
#include "layers/elementwise.h"
#include "layers/gru.h"
#include "layers/linear.h"
#include "layers/loss.h"
#include "layers/lstm.h"
#include "layers/matmul.h"
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
  const std::array<CostLedger::Cell, kProducts> expected{{{macs, macs * 16, 0, 8 * 2 * (18 + 7)},
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

TEST_CASE("each product has the formats that the plan has for it, in every layer") {
  Bench bench;
  const auto conv = [&](const char* name, const Shape& w, ConvConfig config) {
    return Conv2d::create(bench.params, name, random_tensor(w, Key(1)), config);
  };
  const Linear fc = Linear::create(bench.params, "fc", random_tensor({5, 6}, Key(2)), std::nullopt);
  const Conv2d dense = conv("dense", {4, 3, 3, 6}, {.pad = 1}),
               point = conv("point", {4, 1, 1, 6}, {}),
               grouped = conv("grouped", {4, 3, 3, 3}, {.pad = 1, .groups = 2}),
               depthwise = conv("depthwise", {6, 3, 3, 1}, {.pad = 1, .groups = 6});
  struct Case {
    const char* why;
    Shape shape;
    Op op;
  };
  using Vars = std::vector<Var>;
  const Case cases[] = {
      {"linear", {9, 6}, [&](Pass& p, const Vars& x) { return fc(p, x[0]); }},
      {"convolution", {2, 5, 5, 6}, [&](Pass& p, const Vars& x) { return dense(p, x[0]); }},
      {"pointwise", {2, 5, 5, 6}, [&](Pass& p, const Vars& x) { return point(p, x[0]); }},
      {"grouped", {2, 5, 5, 6}, [&](Pass& p, const Vars& x) { return grouped(p, x[0]); }},
      {"depthwise", {2, 5, 5, 6}, [&](Pass& p, const Vars& x) { return depthwise(p, x[0]); }},
      {"matmul", {6, 6}, [](Pass& p, const Vars& x) { return matmul(p, "mm", x[0], x[0]); }},
      {"attention", {8, 18}, [](Pass& p, const Vars& x) {
         const std::int64_t lengths[] = {5, 3};
         return Attention::create("at", 2, true)(p, x[0], lengths);
       }}};
  const Format formats[] = {Format::integer(8), Format::floating(8, 7), kMxfp4};
  struct Split {
    Role role;
    Product product;
  };
  using enum Product;
  const Split splits[] = {{Role::weight, forward},     {Role::weight, grad_left},
                          {Role::activation, forward}, {Role::activation, grad_right},
                          {Role::gradient, grad_left}, {Role::gradient, grad_right}};
  for (const Case& c : cases) {
    const Tensor input = random_tensor(c.shape, Key(3));
    struct Results {
      Tensor y, gx;
      Gradients gw;
    };
    const auto run = [&](const PrecisionPlan& plan, const Observer* observer) {
      Pass pass{.params = bench.params,
                .plan = plan,
                .ledger = bench.ledger,
                .key = Key(4),
                .simd = best_simd(),
                .observer = observer};
      const Var x = pass.tape.variable(input);
      const Var y = c.op(pass, {x});
      Results results{pass.tape[y], {}, {}};
      results.gw = pass.tape.backward(dot(pass, y, random_tensor(results.y.shape(), Key(5))));
      results.gx = pass.tape.gradient_of(x);
      return results;
    };
    for (const Format usual : formats) {
      for (const Format other : formats) {
        if (usual == other) continue;
        const PrecisionPlan base = nearest(usual, usual);
        for (const Split& split : splits) {
          PrecisionPlan plan = base;
          Encoding encoding = base.base.encoding(split.role);
          encoding.format = other;
          plan.base.set_encoding(split.role, split.product, encoding);
          CAPTURE(c.why);
          CAPTURE(to_text(usual));
          CAPTURE(to_text(other));
          CAPTURE(to_text(split.role));
          CAPTURE(to_text(split.product));
          int seen = 0;
          const bool no_weights = std::string_view(c.why) == "matmul";  // both are activations
          const Observer observer{.products = [&](const SeenProducts& products) {
            SiteFormats::Pair wanted = plan.base.formats(products.how.product);
            if (no_weights && products.how.product != grad_right)
              wanted.right = plan.base.encoding(Role::activation, products.how.product).format;
            for (const BatchedProduct& product : products.products) {
              const Format a = product.a.format(), b = product.b.format();
              CHECK(((a == wanted.left && b == wanted.right) ||
                     (b == wanted.left && a == wanted.right)));
              ++seen;
            }
          }};
          static_cast<void>(run(plan, &observer));
          CHECK(seen >= 3);
          // Products that are not of the split have the bits that they had; its own has those of a
          // plan that gives the role the other format in both.
          if (no_weights || std::string_view(c.why) == "attention") continue;
          PrecisionPlan whole = base;
          (split.role == Role::weight       ? whole.base.weight
           : split.role == Role::activation ? whole.base.activation
                                            : whole.base.gradient) = encoding;
          const Results got = run(plan, nullptr), before = run(base, nullptr),
                        changed = run(whole, nullptr);
          CHECK(got.y == (split.product == forward ? changed : before).y);
          CHECK(got.gx == (split.product == grad_left ? changed : before).gx);
          CHECK(got.gw == (split.product == grad_right ? changed : before).gw);
        }
      }
    }
  }
}
