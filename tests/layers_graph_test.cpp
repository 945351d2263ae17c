#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/graph.h"
#include "tests/replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// A graph of eight nodes, the last without neighbours.
Csr small_graph() {
  return undirected(
      8, std::vector<Edge>{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {3, 4}, {4, 5}, {5, 6}, {0, 6}});
}

std::vector<std::int64_t> degrees_of(const Csr& graph) {
  std::vector<std::int64_t> degrees;
  for (std::int64_t i = 0; i < graph.rows(); ++i) degrees.push_back(graph.count(i));
  return degrees;
}

/// Three targets of six nodes, as a mini-batch has them.
Csr sampled() { return {.cols = 6, .starts = {0, 2, 3, 3}, .columns = {3, 4, 0}}; }

std::shared_ptr<const Neighbourhood> whole(bool self_loops) {
  return symmetric_neighbourhood(small_graph(), degrees_of(small_graph()), self_loops);
}

}  // namespace

TEST_CASE(
    "a symmetric neighbourhood has the factors of D^-1/2 A D^-1/2, of A + I with self-loops, also "
    "where neighbours are sampled") {
  for (const bool self_loops : {false, true}) {
    const auto neighbours = whole(self_loops);
    const Csr graph = small_graph();
    CHECK(neighbours->adjacency.entries() == graph.entries() + (self_loops ? 8 : 0));
    CHECK(neighbours->adjacency_transposed == neighbours->adjacency.transposed());
    for (std::int64_t i = 0; i < 8; ++i) {
      const double expected =
          1.0 / std::sqrt(std::max<double>(
                    1.0, static_cast<double>(graph.count(i)) + (self_loops ? 1 : 0)));
      CHECK(std::abs(double{neighbours->node_scale[static_cast<std::size_t>(i)]} - expected) <=
            kUnit);
      const bool hears = neighbours->adjacency.count(i) > 0;  // else the factor is of an empty sum
      if (hears)
        CHECK(std::abs(double{neighbours->target_scale[static_cast<std::size_t>(i)]} - expected) <=
              1.001 * kUnit);
    }
  }
  const auto part = symmetric_neighbourhood(sampled(), std::vector<std::int64_t>{8, 3, 0, 1, 1, 1},
                                            true);  // node 0 hears 2 of 8
  CHECK(part->target_scale[0] == 1.0f);             // sqrt(9) / 3
  CHECK(part->node_scale[1] == 0.5f);
  CHECK(mean_neighbourhood(sampled())->target_scale == std::vector<float>{0.5f, 1.0f, 1.0f});
  CHECK_THROWS_AS(symmetric_neighbourhood(sampled(), std::vector<std::int64_t>{1, 2}, true),
                  ShapeError);
}

TEST_CASE(
    "sums over neighbours and their gradients are fake quantization of the same codes in double") {
  struct Case {
    std::shared_ptr<const Neighbourhood> neighbours;
    int bits, gradient_bits;
    GridStyle style;
  };
  const Case cases[] = {
      {whole(true), 8, 8, GridStyle::affine},
      {whole(false), 4, 8, GridStyle::affine},
      {whole(true), 8, 6, GridStyle::symmetric},
      {symmetric_neighbourhood(sampled(), std::vector<std::int64_t>{8, 3, 0, 1, 1, 1}, true), 8, 8,
       GridStyle::affine},
      {mean_neighbourhood(sampled()), 3, 12, GridStyle::affine}};
  const Site site{"conv.aggregate", {"aggregate"}};
  for (const Case& c : cases) {
    const std::int64_t nodes = c.neighbours->nodes(), targets = c.neighbours->targets(), n = 19;
    PrecisionPlan plan =
        PrecisionPlan::uniform(Format::integer(c.bits), Format::integer(c.gradient_bits));
    plan.base.set_grid(c.style);
    plan.base.activation.rounding = Rounding::stochastic;
    Bench bench;
    Pass pass = bench.pass(plan);
    const Tensor x = random_tensor({nodes, n}, Key(1), 1.0, 0.5),
                 g = random_tensor({targets, n}, Key(2));
    const Var vx = pass.tape.variable(x);
    const Var vy = sum_neighbours(pass, site, vx, c.neighbours);
    const Tensor y = pass.tape[vy];
    pass.tape.backward(dot(pass, vy, g));
    const Tensor gx = pass.tape.gradient_of(vx);

    const auto scaled = [&](const Tensor& t, const std::vector<float>& scale) {
      Tensor result = t;
      for (std::int64_t i = 0; i < t.size() && !scale.empty(); ++i)
        result[i] = t[i] * scale[static_cast<std::size_t>(i / n)];
      return result;
    };
    const auto check = [&](const Tensor& got, const Csr& lists, const std::vector<float>& scale,
                           const Operand& operand) {
      REQUIRE(got.shape() == Shape{lists.rows(), n});
      const double zero = operand.grid().stored_zero();
      for (std::int64_t i = 0; i < lists.rows(); ++i) {
        const double factor = scale.empty() ? 1.0 : double{scale[static_cast<std::size_t>(i)]};
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = 0, terms = 0;
          for (const std::int32_t k : lists.row(i)) {
            sum += operand.value(k, j);
            terms += std::abs(operand.value(k, j)) + 2 * std::abs(zero);
          }
          // Both sides round in double a few times each, ours once more in float32.
          const double bound = kUnit * std::abs(factor * sum) +
                               (static_cast<double>(lists.count(i)) + 8) * 0x1p-53 * terms * factor;
          CHECK(std::abs(double{got[i * n + j]} - factor * sum) <= bound * (1 + 0x1p-20));
        }
      }
    };
    const Tensor sx = scaled(x, c.neighbours->node_scale),
                 sg = scaled(g, c.neighbours->target_scale);
    check(y, c.neighbours->adjacency, c.neighbours->target_scale,
          operand_of(pass, sx.matrix(), site, Role::activation));
    check(gx, c.neighbours->adjacency_transposed, c.neighbours->node_scale,
          operand_of(pass, sg.matrix(), site, Role::gradient));
    const CostLedger::Row& row = bench.ledger.rows().at(0);
    const auto macs = static_cast<uint128>(c.neighbours->adjacency.entries() * n);
    CHECK(row.cells[static_cast<std::size_t>(Product::aggregate)] ==
          CostLedger::Cell{macs, macs * static_cast<uint128>(c.bits)});
    CHECK(row.cells[static_cast<std::size_t>(Product::aggregate_grad)] ==
          CostLedger::Cell{macs, macs * static_cast<uint128>(c.gradient_bits)});
  }
}

TEST_CASE(
    "with `aggregate` kept in float32, sums over neighbours are chains in the order of the rows, "
    "to the bit, both ways") {
  const std::shared_ptr<const Neighbourhood> neighbourhoods[] = {
      whole(true), whole(false), mean_neighbourhood(sampled()),
      symmetric_neighbourhood(sampled(), std::vector<std::int64_t>{8, 3, 0, 1, 1, 1}, true)};
  constexpr std::int64_t n = 19;
  for (const auto& neighbours : neighbourhoods) {
    PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
    plan.keep_fp32({"aggregate"});
    Bench bench;
    Pass pass = bench.pass(plan);
    const Tensor x = random_tensor({neighbours->nodes(), n}, Key(1), 1.0, 0.5),
                 g = random_tensor({neighbours->targets(), n}, Key(2));
    const Var vx = pass.tape.variable(x);
    const Var vy = sum_neighbours(pass, {"conv.aggregate", {"aggregate"}}, vx, neighbours);
    const Tensor y = pass.tape[vy];
    pass.tape.backward(dot(pass, vy, g));
    const auto check = [](const Tensor& got, const Csr& lists, const std::vector<float>& before,
                          const std::vector<float>& after, const Tensor& from) {
      const auto factor = [](const std::vector<float>& f, std::int64_t i) {
        return f.empty() ? 1.0f : f[static_cast<std::size_t>(i)];
      };
      for (std::int64_t i = 0; i < lists.rows(); ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          float sum = 0;
          for (const std::int32_t k : lists.row(i)) sum += from[k * n + j] * factor(before, k);
          REQUIRE(got[i * n + j] == sum * factor(after, i));
        }
      }
    };
    check(y, neighbours->adjacency, neighbours->node_scale, neighbours->target_scale, x);
    check(pass.tape.gradient_of(vx), neighbours->adjacency_transposed, neighbours->target_scale,
          neighbours->node_scale, g);
  }
}

TEST_CASE("graph layers are their parts, the narrower side summed over neighbours, to the bit") {
  for (const auto& [in, out] : {std::pair{9, 4}, std::pair{4, 9}}) {
    for (const bool quantized : {false, true}) {
      Bench bench;
      const GraphConv conv =
          GraphConv::create(bench.params, {"conv", {"first"}}, random_tensor({out, in}, Key(1)));
      const SageConv sage = SageConv::create(bench.params, "sage", random_tensor({out, in}, Key(2)),
                                             random_tensor({out, in}, Key(3)));
      CHECK(conv.aggregate.tags == std::vector<std::string>{"first", "aggregate"});
      bench.params[in > out ? "conv.bias" : "conv.linear.bias"] = random_tensor({out}, Key(4));
      bench.params[sage.self.bias] = random_tensor({out}, Key(5));
      const PrecisionPlan plan =
          quantized ? PrecisionPlan::uniform(Format::integer(8), Format::integer(8))
                    : PrecisionPlan::fp32();
      const auto neighbours = whole(true), part = mean_neighbourhood(sampled());
      Pass pass = bench.pass(plan), apart = bench.pass(plan);
      const Tensor x = random_tensor({8, in}, Key(6)), few = random_tensor({6, in}, Key(7));

      const Tensor y = pass.tape[conv(pass, pass.tape.constant(x), neighbours)];
      Var v = apart.tape.constant(x);
      const auto sums = [&](const Site& site, Var of, const auto& over) {
        return sum_neighbours(apart, site, of, over);
      };
      v = in > out ? sums(conv.aggregate, conv.linear(apart, v), neighbours)
                   : conv.linear(apart, sums(conv.aggregate, v, neighbours));
      Tensor expected = apart.tape[v];
      for (std::int64_t i = 0; i < expected.size() && in > out; ++i)
        expected[i] += bench.params[conv.bias][i % out];
      CHECK(y == expected);

      const Tensor z = pass.tape[sage(pass, pass.tape.constant(few), part)];
      v = apart.tape.constant(few);
      const Var around = in > out ? sums(sage.aggregate, sage.neighbour(apart, v), part)
                                  : sage.neighbour(apart, sums(sage.aggregate, v, part));
      const Tensor first =
          Tensor::from({3, in}, few.values().first(static_cast<std::size_t>(3 * in)));
      const Tensor own = apart.tape[sage.self(apart, apart.tape.constant(first))];
      REQUIRE(z.shape() == Shape{3, out});
      for (std::int64_t i = 0; i < z.size(); ++i) CHECK(z[i] == own[i] + apart.tape[around][i]);
    }
  }
}

TEST_CASE("the gradients of quantized graph layers are those of their parts, to the bit") {
  std::vector<PrecisionPlan> plans = half_float_plans();
  plans.push_back(PrecisionPlan::uniform(Format::integer(4), Format::integer(8)));
  plans.back().base.weight.format = Format::integer(6);
  for (const auto& widths : {std::pair{9, 4}, std::pair{4, 9}}) {
    const int in = widths.first,
              out = widths.second;  // clang 14 cannot capture structured bindings
    for (const bool float_sums : {false, true}) {
      for (PrecisionPlan plan : plans) {
        if (float_sums) plan.keep_fp32({"aggregate"});
        Bench bench;
        const GraphConv conv =
            GraphConv::create(bench.params, "conv", random_tensor({out, in}, Key(1)));
        const SageConv sage =
            SageConv::create(bench.params, "sage", random_tensor({out, in}, Key(2)),
                             random_tensor({out, in}, Key(3)));
        const auto compare = [&](std::int64_t nodes, std::int64_t targets,
                                 const std::vector<ParamId>& weights, ParamId bias,
                                 const auto& layer, const auto& parts) {
          const Tensor x = random_tensor({nodes, in}, Key(6)),
                       g = random_tensor({targets, out}, Key(7));
          Pass pass = bench.pass(plan), apart = bench.pass(plan);
          const Var a = pass.tape.variable(x), b = apart.tape.variable(x);
          const Gradients got = pass.tape.backward(dot(pass, layer(pass, a), g)),
                          want = apart.tape.backward(dot(apart, parts(apart, b), g));
          CHECK(pass.tape.gradient_of(a) == apart.tape.gradient_of(b));
          for (const ParamId id : weights)
            CHECK(got[static_cast<std::size_t>(id.index)] ==
                  want[static_cast<std::size_t>(id.index)]);
          require_column_sums(got[static_cast<std::size_t>(bias.index)], g);
        };
        const auto neighbours = whole(true), part = mean_neighbourhood(sampled());
        const auto both = [&](Pass& pass, Var v, const Linear& linear, const Site& site,
                              const auto& over) {
          return in > out ? sum_neighbours(pass, site, linear(pass, v), over)
                          : linear(pass, sum_neighbours(pass, site, v, over));
        };
        compare(
            8, 8, {conv.linear.weight}, in > out ? conv.bias : conv.linear.bias,
            [&](Pass& pass, Var v) { return conv(pass, v, neighbours); },
            [&](Pass& pass, Var v) {
              return both(pass, v, conv.linear, conv.aggregate, neighbours);
            });
        compare(
            6, 3, {sage.self.weight, sage.neighbour.weight}, sage.self.bias,
            [&](Pass& pass, Var v) { return sage(pass, v, part); },
            [&](Pass& pass, Var v) {
              const Var around = both(pass, v, sage.neighbour, sage.aggregate, part);
              return add(pass,
                         sage.self(pass, select_rows(pass, v, std::vector<std::int64_t>{0, 1, 2})),
                         around);
            });
      }
    }
  }
}

TEST_CASE("gradients of graph layers and of selected rows agree with central differences") {
  for (const auto& [in, out] : {std::pair{6, 3}, std::pair{3, 6}}) {
    Bench bench;
    const GraphConv conv =
        GraphConv::create(bench.params, "conv", random_tensor({out, in}, Key(1)));
    check_gradients(
        bench, {random_tensor({8, in}, Key(2))}, 16,
        [&](Pass& pass, const std::vector<Var>& x) { return conv(pass, x[0], whole(true)); });
    Bench other;
    const SageConv sage = SageConv::create(other.params, "sage", random_tensor({out, in}, Key(1)),
                                           random_tensor({out, in}, Key(2)));
    const auto part = mean_neighbourhood(sampled());
    check_gradients(other, {random_tensor({6, in}, Key(3))}, 16,
                    [&](Pass& pass, const std::vector<Var>& x) { return sage(pass, x[0], part); });
  }
  Bench bench;
  check_gradients(bench, {random_tensor({5, 3}, Key(4))}, 1,
                  [](Pass& pass, const std::vector<Var>& x) {
                    return select_rows(pass, x[0], std::vector<std::int64_t>{3, 0});
                  });
}

TEST_CASE("graph layers refuse what does not fit") {
  Bench bench;
  Pass pass = bench.pass();
  const Var x = pass.tape.constant(Tensor::zeros({7, 2}));
  CHECK_THROWS_WITH_AS(sum_neighbours(pass, "a", x, whole(true)),
                       "[a] expected features [8, n], got [7, 2]", ShapeError);
  CHECK_THROWS_AS(select_rows(pass, x, std::vector<std::int64_t>{7}), ShapeError);
  CHECK_THROWS_AS(SageConv::create(bench.params, "s", Tensor::zeros({2, 3}), Tensor::zeros({3, 2})),
                  ShapeError);
  CHECK_THROWS_AS(GraphConv::create(bench.params, "g", Tensor::zeros({2})), ShapeError);
}
