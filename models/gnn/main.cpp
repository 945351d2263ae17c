#include <memory>
#include <utility>

#include "models/gnn/network.h"
#include "train/app/run_main.h"
#include "train/tasks/graphs.h"

namespace {

using namespace ebb;

train::Program program() {
  train::Program program{
      "ebb-gnn", "Trains graph networks that classify nodes in emulated low precision.", {}};
  program.archs = {
      {.name = "gcn",
       .summary = "graph convolutions with symmetric normalisation",
       .lr = 0.01,
       .lr_schedule = "1",
       .optimizer = "adam",
       .weight_decay = 5e-4,
       .epochs = 200},
      {.name = "sage",
       .summary = "GraphSAGE with the mean of the neighbours",
       .lr = 0.003,
       .lr_schedule = "1->0 : cos",
       .optimizer = "adam",
       .weight_decay = 0,
       .epochs = 20,
       .batch = 256,
       .options = {
           {"hidden", "128"}, {"input-dropout", "0"}, {"norm", "layer"}, {"fanout", "10"}}}};
  program.options = train::graph_options();
  for (train::OptionSpec& option : gnn_options()) program.options.push_back(std::move(option));
  const KeyValues both{{"scale-features", "columns"},
                       {"hidden", "512"},
                       {"dropout", "0.2"},
                       {"input-dropout", "0"},
                       {"norm", "layer"},
                       {"optimizer", "adam"},
                       {"lr", "0.001"},
                       {"lr-schedule", "1->0.1 : cos"},
                       {"max-bits", "8"},
                       {"gradient-bits", "8"},
                       {"cycles", "8"},
                       {"keep-fp32", "aggregate"}};
  const auto with = [&](KeyValues options) {
    options.insert(options.end(), both.begin(), both.end());
    return options;
  };
  const std::vector<std::string> warnings{
      "max-bits and gradient-bits were 8 or 6; keep-fp32 aggregate is the papers' FP-Agg, without "
      "it neighbours are summed in "
      "codes (Q-Agg)",
      "the reference grids activations by node and quantizes the bias and the logits; here one "
      "grid per tensor, bias and logits in "
      "float32",
      "the reference normalises the whole matrix at once, without weight and bias; here each node, "
      "with both"};
  program.presets = {{.name = "cpt-arxiv",
                      .summary = "GCN on OGBN-Arxiv; give --data the folder, or --data "
                                 "synthetic-arxiv for a graph of that size",
                      .options = with({{"arch", "gcn"},
                                       {"layers", "3"},
                                       {"self-loops", "off"},
                                       {"epochs", "500"},
                                       {"weight-decay", "0"},
                                       {"min-bits", "3"}}),
                      .warnings = warnings},
                     {.name = "cpt-products",
                      .summary = "GraphSAGE on OGBN-Products; give --data the folder",
                      .options = with({{"arch", "sage"},
                                       {"layers", "2"},
                                       {"fanout", "32,32"},
                                       {"batch", "1024"},
                                       {"epochs", "80"},
                                       {"weight-decay", "1e-4"},
                                       {"min-bits", "4"}}),
                      .warnings = warnings}};
  program.presets[0].warnings.emplace_back(
      "the reference's loss left out the logarithm of the softmax, so its accuracies are no bar");
  program.presets[0].warnings.emplace_back("the baseline script ran 1,000 epochs");
  program.presets[1].warnings.emplace_back("min-bits was 4 with FP-Agg and 3 with Q-Agg");
  program.presets[1].warnings.emplace_back(
      "the reference samples neighbours in evaluations, too, and adds edges that the graph has "
      "already");
  return program;
}

train::Task build(const train::Options& options, ParamStore& params) {
  const auto graph = std::make_shared<const Graph>(train::open_graph(options));
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("initial values");
  const GnnConfig config = gnn_config(options);
  train::Task task = train::graph_task(
      graph, make_gnn(config, graph->features.shape()[1], graph->classes, params, key), options);
  task.settings.push_back({Hyperparameter::share("dropout", 0.5), config.dropout});
  task.settings.push_back({Hyperparameter::share("input-dropout", 0.5), config.input_dropout});
  return task;
}

}  // namespace

int main(int argc, char** argv) { return ebb::cli::run_main(argc, argv, {program(), build}); }
