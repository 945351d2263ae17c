#pragma once

#include <cstdint>
#include <vector>

#include "core/csr.h"
#include "core/key.h"
#include "data/epoch_order.h"
#include "data/graph.h"

namespace ebb {

/// The in-neighbours of one layer's targets. Nodes are numbered anew for it: `nodes` tells their
/// numbers in the graph, and the first of them are the targets, in their order.
struct GraphHop {
  Csr adjacency{};                    ///< [targets, nodes]
  std::vector<std::int64_t> nodes{};  ///< numbers in the graph
};

/// Nodes to train on, with what their logits take: the nodes of a hop are the targets of the hop
/// before.
struct GraphBatch {
  std::vector<GraphHop> hops{};        ///< one per layer, from the features to the logits
  std::vector<std::int32_t> labels{};  ///< of the targets of the last hop
};

/// Mini-batches of a graph's training nodes with sampled neighbours, a pure function of (key,
/// iteration).
///
/// From the last layer to the first, every target sums all of its neighbours, or `fanout` of them
/// drawn without replacement where it has more; they are listed in the order of their numbers in
/// the graph. The key is key.fold("hear").fold(iteration).fold(layer); node i of the graph with d
/// neighbours draws counters i 2^20 .. (Floyd's method: of places d - fanout .. d - 1, each takes a
/// place up to itself, or itself where that is taken). Epochs are EpochOrder's, of
/// key.fold("order").
class GraphBatchSource {
 public:
  /// `fanouts`: neighbours at the most by layer, from the features to the logits. The graph must
  /// outlive the source.
  /// @throws ConfigError unless batch and all fanouts are 1 and more, fanouts below 2^20
  GraphBatchSource(const Graph& graph, std::int64_t batch, std::vector<std::int64_t> fanouts,
                   Key key);
  GraphBatchSource(Graph&&, std::int64_t, std::vector<std::int64_t>, Key) = delete;

  [[nodiscard]] std::int64_t batches_per_epoch() const { return order_.batches_per_epoch(); }
  [[nodiscard]] std::int64_t batch_size(std::int64_t iteration) const {
    return order_.batch_size(iteration);
  }
  [[nodiscard]] GraphBatch batch(std::int64_t iteration) const;

 private:
  const Graph* graph_;
  std::vector<std::int64_t> fanouts_;
  Key key_;
  EpochOrder order_;
};

/// Rows of the graph's features, [nodes, features].
Tensor features_of(const Graph& graph, const std::vector<std::int64_t>& nodes);
/// Labels of nodes.
std::vector<std::int32_t> labels_of(const Graph& graph, const std::vector<std::int64_t>& nodes);

}  // namespace ebb
