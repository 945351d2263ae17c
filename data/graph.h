#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/csr.h"
#include "core/key.h"
#include "core/tensor.h"

namespace ebb {

/// Which nodes are trained on and which are scored; ascending, no node in two of them. Nodes may be
/// in none.
struct GraphSplit {
  std::vector<std::int64_t> train{}, validation{}, test{};
  friend bool operator==(const GraphSplit&, const GraphSplit&) = default;
};

/// A graph whose nodes are to be classified.
///
/// Edges have no direction: `neighbours` is symmetric, lists no node as its own neighbour and none
/// twice, whatever the files say. Self-loops are the layer's business. A node
/// without neighbours is a node like any other.
struct Graph {
  std::string name{};
  Csr neighbours{};
  Tensor features{};                   ///< [nodes, features]
  std::vector<std::int32_t> labels{};  ///< 0 .. classes-1, one per node
  int classes = 0;
  GraphSplit split{};
  std::vector<std::string> notes{};  ///< what the reader left out, each a sentence

  [[nodiscard]] std::int64_t nodes() const { return static_cast<std::int64_t>(labels.size()); }
  /// SHA-256 of edges, features, labels and split: equal for equal graphs, whatever files they came
  /// from.
  [[nodiscard]] std::string fingerprint() const;
};

/// "cora: 2708 nodes, 5278 edges, 1433 features, 7 classes; 140 / 500 / 1000 nodes to train,
/// validate, test", and the notes.
std::string describe(const Graph& graph);

/// @throws DataError unless the graph has nodes and features, its parts agree in size, edges are as
/// Graph says, labels are classes,
///         features finite, and the split is as GraphSplit says with nodes to train on and to test
void require_consistent(const Graph& graph);

/// Every node in one part: round(0.6 n) to train, round(0.2 n) to validate, the rest to test, drawn
/// without replacement by the key.
GraphSplit random_split(std::int64_t nodes, Key key);
/// The Planetoid rule: 20 nodes of every class to train, then 500 of the others to validate and
/// 1,000 to test, drawn by the key. Source: Yang, Cohen, Salakhutdinov, "Revisiting semi-supervised
/// learning with graph embeddings", ICML 2016.
/// @throws DataError if a class has fewer than 21 nodes, or fewer than 1,500 nodes are left
GraphSplit planetoid_split(const Graph& graph, Key key);

/// How features are scaled before anything else.
enum class FeatureScaling : std::uint8_t {
  none,
  rows,     ///< each node's sum to 1, as is usual for bags of words; a node of zeros stays
  columns,  ///< each feature to mean 0 and (population) deviation 1 over all nodes; a constant
            ///< feature becomes 0
};
/// Reads "none", "rows" or "columns". @throws ConfigError
FeatureScaling parse_feature_scaling(std::string_view text);
void scale_features(Graph& graph, FeatureScaling scaling);

}  // namespace ebb
