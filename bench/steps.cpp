#include <memory>
#include <utility>

#include "models/gnn/network.h"
#include "models/lstm/network.h"
#include "models/transformer/network.h"
#include "train/tasks/graphs.h"
#include "train/tasks/text.h"
#include "training.h"

namespace ebb::bench {
namespace {

/// Steps of a task as the programs do them.
struct TaskSteps {
  ParamStore params;
  train::Task task;
  Optimizer optimizer;
  double rate = 0;
  std::optional<double> clip{};
  CostLedger ledger{};
  std::int64_t t = 0;

  void step(const PrecisionPlan& plan) {
    Pass pass{.params = params,
              .plan = plan,
              .ledger = ledger,
              .key = Key(1).fold(static_cast<std::uint64_t>(t)),
              .simd = best_simd()};
    Gradients gradients = pass.tape.backward(task.loss(pass, t++, 0).value);
    if (clip) clip_global_norm(gradients, *clip);
    optimizer.step(params, gradients, rate);
    pass.effects.apply_to(params);
  }
};

/// Uniformly random words, one of them a line feed's.
std::shared_ptr<const Corpus> random_corpus(std::int64_t words, std::int64_t tokens) {
  std::string all;
  for (std::int64_t i = 0; i < words - 2; ++i)
    all += concat('w', i, ' ');  // <unk> and <eos> are words too
  Vocabulary vocabulary = Vocabulary::of_words(all, words, "random");
  TokenIds ids;
  for (std::int64_t i = 0; i < tokens; ++i) {
    ids.push_back(static_cast<std::int32_t>(
        Key(1).below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(words))));
  }
  const TokenIds few(ids.begin(), ids.begin() + 1000);
  return std::make_shared<const Corpus>(
      Corpus{"random", std::move(vocabulary), std::move(ids), few, {}});
}

std::shared_ptr<TaskSteps> lstm(std::int64_t batch) {
  const auto corpus = random_corpus(10'000, 100 * 35 * batch);
  const auto steps = std::make_shared<TaskSteps>();
  const train::RecurrentNetwork network =
      make_lstm({.layers = 1, .units = 800, .dropout = 0.5}, 10'000, steps->params, Key(1));
  steps->task = train::stream_task(
      corpus, network, steps->params,
      train::Options(train::text_options(), {{"batch", to_text(batch)}, {"length", "35"}}));
  steps->optimizer = make_optimizer("sgd", {{"momentum", 0}});
  steps->rate = 1;
  steps->clip = 0.25;
  return steps;
}

std::shared_ptr<TaskSteps> transformer(std::int64_t batch) {
  const auto corpus = random_corpus(65, 100'000);
  const auto steps = std::make_shared<TaskSteps>();
  const TransformerConfig config{.layers = 6, .width = 384, .heads = 6, .length = 256};
  const train::WindowNetwork network = make_transformer(config, 65, steps->params, Key(1));
  steps->task = train::window_task(
      corpus, network,
      train::Options(train::text_options(), {{"batch", to_text(batch)}, {"length", "256"}}));
  steps->optimizer = make_optimizer("adamw", {{"weight_decay", 0.01}});
  steps->rate = 1e-3;
  return steps;
}

std::shared_ptr<TaskSteps> gcn() {
  const auto graph = std::make_shared<const Graph>(synthetic_graph(kArxivSizedGraph));
  const auto steps = std::make_shared<TaskSteps>();
  const GnnConfig config{.layers = 3,
                         .hidden = 512,
                         .input_dropout = 0,
                         .dropout = 0.2,
                         .layer_norm = true,
                         .self_loops = false};
  const train::GraphNetwork network =
      make_gnn(config, graph->features.shape()[1], graph->classes, steps->params, Key(1));
  steps->task = train::graph_task(
      graph, network, train::Options(train::graph_options(), {{"batch", "1"}, {"fanout", "all"}}));
  steps->optimizer = make_optimizer("adam");
  steps->rate = 1e-3;
  return steps;
}

}  // namespace

std::function<void(const PrecisionPlan&)> make_step(std::string_view network, std::int64_t batch) {
  if (network == "resnet20") {
    const auto training = std::make_shared<Training>("resnet20", "synthetic-cifar", batch);
    return [training](const PrecisionPlan& plan) {
      training->plan = plan;
      training->step();
    };
  }
  require<ConfigError>(network == "lstm" || network == "transformer" || network == "gcn",
                       "[bench] expected resnet20, lstm, transformer or gcn, got '", network, "'");
  const auto steps = network == "lstm"          ? lstm(batch)
                     : network == "transformer" ? transformer(batch)
                                                : gcn();
  const bool graph = network == "gcn";
  return [steps, graph](PrecisionPlan plan) {
    if (graph) plan.keep_fp32({"aggregate"});
    steps->step(plan);
  };
}

}  // namespace ebb::bench
