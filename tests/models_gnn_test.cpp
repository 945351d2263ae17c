#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "core/error.h"
#include "data/graph_synthetic.h"
#include "layers/loss.h"
#include "models/gnn/network.h"
#include "optim/optimizer.h"
#include "passes.h"
#include "train/costs.h"
#include "train/options/precision.h"

using namespace ebb;
using namespace ebb::test;
using namespace ebb::train;

namespace {

std::shared_ptr<const Graph> small_graph() {
  return std::make_shared<const Graph>(synthetic_graph(
      {.name = "small", .nodes = 240, .edges = 900, .features = 12, .classes = 3, .signal = 0.5}));
}

Options options_of(const std::string& fanout) {
  return Options(graph_options(), {{"batch", "40"}, {"fanout", fanout}});
}

/// A tape's values and gradients under fp32 for a network on the whole small graph.
Task task_of(const GnnConfig& config, const std::string& fanout, ParamStore& params) {
  const auto graph = small_graph();
  return graph_task(graph, make_gnn(config, 12, 3, params, Key(1)), options_of(fanout));
}

PrecisionPlan int8() { return PrecisionPlan::uniform(Format::integer(8), Format::integer(8)); }

/// A run of nothing but step t.
Task one_step(const Task& task, std::int64_t t) {
  Task one = task;
  one.kinds = [kinds = task.kinds, t](std::int64_t) { return kinds(t); };
  return one;
}

}  // namespace

TEST_CASE(
    "the GCN of the papers on a graph of Arxiv's size has the MACs that they count; sums over "
    "neighbours are counted apart") {
  ParamStore params;
  const GraphNetwork network =
      make_gnn({.layers = 3, .hidden = 512, .layer_norm = true, .self_loops = false}, 128, 40,
               params, Key(1));
  // Only sizes matter for a bill.
  Csr adjacency{.cols = 169'343,
                .starts = std::vector<std::int64_t>(169'344),
                .columns = std::vector<std::int32_t>(2'400'000)};
  adjacency.starts.back() = 2'400'000;
  const auto neighbours = std::make_shared<const Neighbourhood>(
      Neighbourhood{.adjacency = adjacency, .adjacency_transposed = adjacency});
  CostLedger ledger;
  Pass pass{.params = params,
            .plan = PrecisionPlan::fp32(),
            .ledger = ledger,
            .key = Key(0),
            .counting = true};
  const Var logits = network.forward(pass, pass.tape.constant(Tensor::shape_only({169'343, 128})),
                                     {neighbours, neighbours, neighbours});
  const std::vector<std::int32_t> labels(169'343, 0);
  pass.tape.backward(softmax_cross_entropy(pass, logits, labels));
  uint128 forward = 0, sums = 0, backward = 0;
  for (const CostLedger::Row& row : ledger.rows()) {
    forward += row.cells[static_cast<std::size_t>(Product::forward)].macs;
    sums += row.cells[static_cast<std::size_t>(Product::aggregate)].macs;
    backward += row.cells[static_cast<std::size_t>(Product::aggregate_grad)].macs;
  }
  CHECK(forward == 58'958'458'880);
  CHECK(sums == uint128{2'400'000} * (128 + 512 + 40));
  CHECK(backward == uint128{2'400'000} * (512 + 40));  // features take no gradient
  ledger.close_iteration(Format::integer(8), Format::integer(8));
  CHECK(ledger.paper_bit_ops() == 192 * uint128{58'958'458'880});
}

TEST_CASE(
    "what a step is billed beforehand is what it charges, for both networks, whole and sampled, "
    "narrowing and widening") {
  for (const char* arch : {"gcn", "sage"}) {
    for (const char* fanout : {"all", "3"}) {
      for (const std::int64_t hidden : {5, 20}) {
        for (const bool sums_in_fp32 : {false, true}) {
          RunState state;
          const Task task =
              task_of({.arch = arch, .layers = 2, .hidden = hidden, .layer_norm = true}, fanout,
                      state.params);
          PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(4), Format::integer(8));
          if (sums_in_fp32) plan.keep_fp32({"aggregate"});
          for (const std::int64_t t : {0, 5}) {
            const CostLedger billed = predict(
                one_step(task, t), state.params, [&](std::int64_t) { return plan; }, 1);
            CostLedger charged;
            Pass pass{.params = state.params,
                      .plan = plan,
                      .ledger = charged,
                      .key = Key(3),
                      .simd = best_simd()};
            pass.tape.backward(task.loss(pass, t, 0).value);
            CHECK(billed.total_bit_ops() == charged.total_bit_ops());
            CHECK(billed.rows().size() == charged.rows().size());
            for (const CostLedger::Row& row : billed.rows()) {
              for (const CostLedger::Row& other : charged.rows()) {
                if (row.site.name == other.site.name) CHECK(row.cells == other.cells);
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("the gradients of whole graph networks agree with central differences") {
  for (const char* arch : {"gcn", "sage"}) {
    Bench bench;
    const GraphNetwork network = make_gnn({.arch = arch,
                                           .layers = 2,
                                           .hidden = 4,
                                           .input_dropout = 0,
                                           .dropout = 0,
                                           .layer_norm = true},
                                          3, 2, bench.params, Key(1));
    const Csr graph = undirected(6, std::vector<Edge>{{0, 1}, {0, 2}, {1, 3}, {4, 5}, {2, 3}});
    const auto neighbours =
        network.neighbourhood(graph, std::vector<std::int64_t>{2, 2, 2, 2, 1, 1});
    check_gradients(bench, {random_tensor({6, 3}, Key(2))}, 80,
                    [&](Pass& pass, const std::vector<Var>& x) {
                      return network.forward(pass, x[0], {neighbours, neighbours});
                    });
  }
}

TEST_CASE(
    "with enough neighbours asked for, a sampled step of all training nodes is the whole graph's "
    "step") {
  for (const char* arch : {"gcn", "sage"}) {
    ParamStore params;
    const GnnConfig config{.arch = arch, .hidden = 8, .input_dropout = 0, .dropout = 0};
    const GraphNetwork network = make_gnn(config, 12, 3, params, Key(1));
    Options options = options_of("1000");
    options.set("batch", "240");
    const Task sampled = graph_task(small_graph(), network, options),
               whole = graph_task(small_graph(), network, options_of("all"));
    CHECK(sampled.steps_per_epoch == 1);
    std::vector<double> losses;
    for (const Task* task : {&sampled, &whole}) {
      CostLedger ledger;
      Pass pass{.params = params, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = Key(3)};
      losses.push_back(pass.tape[task->loss(pass, 0, 0).value].item());
    }
    CHECK(std::abs(losses[0] - losses[1]) <= 1e-5);  // the same terms in another order
  }
}

TEST_CASE("graph networks learn a block model in 8 bits, better than its features alone allow") {
  for (const char* arch : {"gcn", "sage"}) {
    for (const char* fanout : {"all", "4"}) {
      RunState state{.optimizer = make_optimizer("adam")};
      const Task task = task_of({.arch = arch, .hidden = 16, .input_dropout = 0, .dropout = 0.2},
                                fanout, state.params);
      LoopSettings settings{.iterations = 60, .key = Key(4)};
      settings.plan = [](std::int64_t) { return int8(); };
      settings.rate = [](std::int64_t) { return 0.02; };
      settings.evaluation_plan = int8();
      settings.eval_every = settings.save_every = 1000;
      settings.simd = best_simd();
      double accuracy = 0;
      run_loop(task, state, settings,
               {.evaluation = [&](const EvalRow& row) { accuracy = row.score; }});
      CAPTURE(std::string(arch));
      CAPTURE(std::string(fanout));
      CHECK(accuracy > 0.8);
    }
  }
}

TEST_CASE("what a graph network cannot be is refused") {
  ParamStore params;
  CHECK_THROWS_AS(static_cast<void>(make_gnn({.arch = "gat"}, 3, 2, params, Key(1))), ConfigError);
  CHECK_THROWS_AS(static_cast<void>(make_gnn({.layers = 0}, 3, 2, params, Key(1))), ConfigError);
  CHECK_THROWS_WITH_AS(static_cast<void>(task_of({}, "3,4,5", params)),
                       doctest::Contains("2 numbers, one per layer"), ConfigError);
  ParamStore other;
  CHECK_THROWS_WITH_AS(static_cast<void>(task_of({}, "3,x", other)), doctest::Contains("--fanout"),
                       ConfigError);
}
