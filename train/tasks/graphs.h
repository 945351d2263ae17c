#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "data/graph.h"
#include "layers/graph.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::train {

/// --data, --split, --scale-features and --fanout.
std::vector<OptionSpec> graph_options();

/// --data opened, split and scaled. @throws DataError if the data cannot be had or are not what
/// they claim
Graph open_graph(const Options& options);

/// One neighbourhood per layer, from the features to the logits.
using Neighbourhoods = std::vector<std::shared_ptr<const Neighbourhood>>;

/// A network for nodes, as the task needs it.
struct GraphNetwork {
  std::int64_t layers = 0;
  /// A layer's neighbourhood from its adjacency and the degrees of all of its nodes in the
  /// whole graph.
  std::function<std::shared_ptr<const Neighbourhood>(const Csr& adjacency,
                                                     std::span<const std::int64_t> degrees)>
      neighbourhood{};
  /// Logits [targets of the last layer, classes] of features [nodes of the first, features].
  std::function<Var(Pass&, Var features, const Neighbourhoods&)> forward{};
};

/// Classification of nodes by softmax cross-entropy, scored by accuracy. With --fanout all, a step
/// takes all training nodes and the whole graph, and an epoch is one step; else it takes --batch
/// training nodes and sampled neighbours (data/graph_batches.h). Evaluations always see the whole
/// graph.
/// @throws ConfigError if the settings do not fit the network
Task graph_task(const std::shared_ptr<const Graph>& graph, const GraphNetwork& network,
                const Options& options);

}  // namespace ebb::train
