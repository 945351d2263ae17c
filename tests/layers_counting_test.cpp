#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "layers/activations.h"
#include "layers/attention.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/graph.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"
#include "layers/loss.h"
#include "layers/matmul.h"
#include "layers/pool.h"
#include "layers/shape_ops.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

using Loss = std::function<Var(Pass&)>;

/// What a pass charges for a loss and its sweep.
CostLedger charged(Bench& bench, const Loss& loss, bool counting) {
  CostLedger ledger;
  Pass pass{.params = bench.params,
            .plan = PrecisionPlan::fp32(),
            .ledger = ledger,
            .key = Key(11),
            .counting = counting};
  pass.tape.backward(loss(pass));
  return ledger;
}

/// An op of somebody who never heard of counting: y = 2 x w^T, written into the product's memory.
Var doubled(Pass& pass, Var x, Var w) {
  const Site site = pass.visit("own");
  const auto times = [&pass](const ConstMatrix& a, Role role_a, const ConstMatrix& b, Role role_b,
                             const Site& at, Product product) {
    const Multiply how = pass.how(at, product);
    const auto encoded = [&](const ConstMatrix& m, Role role) {
      return Operand(m, pass.plan.encoding(at, role), Granularity::per_tensor, Key(0));
    };
    Tensor y = gemm(encoded(a, role_a), encoded(b, role_b), how, pass.ledger);
    for (float& v : y.values()) v *= 2.0f;
    return y;
  };
  const Tensor &in = pass.tape[x], &weight = pass.tape[w];
  Tensor y = times(in.matrix(), Role::activation, weight.matrix().transposed(), Role::weight, site,
                   Product::forward);
  return pass.tape.record(std::move(y), {x, w}, [=, &pass](const Tensor& g, Adjoints& grads) {
    float sum = 0;
    for (const float v : g.values()) sum += v;  // reads every element
    CHECK(sum == sum);
    grads.add(x, times(g.matrix(), Role::gradient, pass.tape[w].matrix(), Role::weight, site,
                       Product::grad_left));
    grads.add(w, times(g.matrix().transposed(), Role::gradient, pass.tape[x].matrix(),
                       Role::activation, site, Product::grad_right));
  });
}

Linear linear(Bench& bench, const char* name, std::int64_t out, std::int64_t in) {
  return Linear::create(bench.params, name, random_tensor({out, in}, Key(1)), Tensor::zeros({out}));
}

const std::vector<std::int32_t> kLabels{0, 1, 1, 2};

}  // namespace

TEST_CASE("a pass that counts charges what a pass that computes charges, site by site") {
  Bench bench;
  const Linear one = linear(bench, "one", 6, 4), two = linear(bench, "two", 3, 6),
               qkv = linear(bench, "qkv", 12, 4), out = linear(bench, "out", 3, 4);
  const Conv2d conv =
      Conv2d::create(bench.params, {"conv", {}}, random_tensor({4, 3, 3, 2}, Key(2)), {.pad = 1});
  const BatchNorm norm = BatchNorm::create(bench.params, "norm", 4);
  const LayerNorm layer_norm = LayerNorm::create(bench.params, "layer_norm", 4);
  const ParamId table = bench.params.add("table", random_tensor({5, 4}, Key(3)));
  const ParamId own = bench.params.add("own", random_tensor({4, 4}, Key(4)));
  const Attention attention = Attention::create("attention", 2, true);
  const GraphConv graph = GraphConv::create(bench.params, "graph", random_tensor({3, 4}, Key(5)));
  const Csr adjacency{.cols = 4, .starts = {0, 2, 3, 4, 6}, .columns = {1, 2, 0, 3, 0, 2}};
  const auto neighbours =
      symmetric_neighbourhood(adjacency, std::array<std::int64_t, 4>{2, 1, 1, 2}, true);
  const auto input = [](Pass& pass, const Shape& shape) {
    return pass.tape.variable(random_tensor(shape, Key(6)));
  };

  struct Case {
    const char* name;
    Loss loss;
  };
  const Case cases[] = {
      {"linear layers that ops without products join",
       [&](Pass& pass) {
         // One after the other, so that each has to hand on its gradient.
         const Var h = relu(pass, one(pass, layer_norm(pass, input(pass, {4, 4}))));
         const Var d = dropout(pass, gelu(pass, h), 0.5, "d");
         return softmax_cross_entropy(pass, two(pass, add(pass, d, d)), kLabels);
       }},
      {"convolution, batch norm and pooling, which know nothing of counting",
       [&](Pass& pass) {
         const Var h = relu(pass, norm(pass, conv(pass, input(pass, {4, 6, 6, 2}))));
         return softmax_cross_entropy(pass, out(pass, global_avg_pool(pass, h)), kLabels);
       }},
      {"attention over rows of two lengths",
       [&](Pass& pass) {
         const std::vector<std::int32_t> ids{0, 4, 2, 2};
         const std::vector<std::int64_t> lengths{1, 3};
         const Var h = embedding(pass, table, ids);
         return softmax_cross_entropy(pass, out(pass, attention(pass, qkv(pass, h), lengths)),
                                      kLabels);
       }},
      {"a graph layer and chosen rows",
       [&](Pass& pass) {
         const Var h = graph(pass, input(pass, {4, 4}), neighbours);
         return softmax_cross_entropy(pass, select_rows(pass, h, std::array<std::int64_t, 1>{2}),
                                      std::vector<std::int32_t>{1});
       }},
      {"a product of two values, and one value used twice",
       [&](Pass& pass) {
         const Var x = relu(pass, input(pass, {4, 4}));
         return softmax_cross_entropy(
             pass, matmul(pass, "matmul", x, transpose(pass, add(pass, x, x))), kLabels);
       }},
      {"an op of one's own that reads and writes every element", [&](Pass& pass) {
         const Var x = relu(pass, input(pass, {4, 4}));
         const Var y = doubled(pass, x, pass.tape.parameter(own));
         return softmax_cross_entropy(pass, relu(pass, y), kLabels);
       }}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const CostLedger done = charged(bench, c.loss, false), counted = charged(bench, c.loss, true);
    REQUIRE(done.rows().size() > 0);
    CHECK(counted == done);
  }
}

TEST_CASE("counting takes no memory for values: a layer on more rows than any machine holds") {
  Bench bench;
  const Linear one = linear(bench, "one", 6, 4), two = linear(bench, "two", 3, 6);
  constexpr std::int64_t rows = std::int64_t{1} << 40;
  const CostLedger ledger = charged(
      bench,
      [&](Pass& pass) {
        const Var x = pass.tape.constant(Tensor::shape_only({rows, 4}));
        const Var h = two(pass, dropout(pass, relu(pass, one(pass, x)), 0.5, "d"));
        return softmax_cross_entropy(pass, select_rows(pass, h, std::array<std::int64_t, 1>{7}),
                                     std::vector<std::int32_t>{1});
      },
      true);
  const uint128 macs = uint128{rows} * (2 * 6 * 4 + 3 * 3 * 6);  // features take no gradient
  CHECK(ledger.total_macs() == macs);
}

TEST_CASE("a shape that is read is zeros, and so is a gradient where numbers are expected") {
  Bench bench;
  const ParamId weight = bench.params.add("w", Tensor::filled({2}, 3.0f));
  Pass pass = bench.pass();
  const Var w = pass.tape.parameter(weight);
  Tensor received;
  const Var numbers =
      pass.tape.record(Tensor::filled({2}, 1.0f), {w}, [&](const Tensor& g, Adjoints& grads) {
        received = g;
        grads.add(w, Tensor(g));
      });
  const Var shape = pass.tape.record_shape({5, 2}, {numbers});
  const Var loss = pass.tape.record_shape({}, {shape, numbers});
  CHECK(pass.tape.shape(shape) == Shape{5, 2});
  CHECK(pass.tape[shape] == Tensor::zeros({5, 2}));
  const Gradients gradients = pass.tape.backward(loss);
  CHECK(received == Tensor::zeros({2}));
  CHECK(gradients[0] == Tensor::zeros({2}));
}
