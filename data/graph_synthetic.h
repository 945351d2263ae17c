#pragma once

#include <cstdint>
#include <string_view>

#include "core/key.h"
#include "data/graph.h"

namespace ebb {

/// A stochastic block model: nodes in blocks, which are their classes.
struct BlockModel {
  std::string_view name{};
  std::int64_t nodes = 0, edges = 0, features = 0;
  int classes = 0;
  double inside = 0.8;  ///< share of the edges drawn inside a block
  double signal = 0.2;  ///< deviation of the classes' mean features, in units of the noise's
};

inline constexpr BlockModel kSmallGraph{
    .name = "synthetic", .nodes = 3000, .edges = 9000, .features = 64, .classes = 6};
/// The size of OGBN-Arxiv, whose links are 1,166,243.
inline constexpr BlockModel kArxivSizedGraph{.name = "synthetic-arxiv",
                                             .nodes = 169'343,
                                             .edges = 1'200'000,
                                             .features = 128,
                                             .classes = 40};

/// The one graph of a model: the same on every machine and for every seed of a run.
///
/// Node i is of class i mod classes. Edges are drawn one after the other until there are as many
/// different ones as asked for: the first end is any node, the other, with probability `inside`,
/// any node of the first one's class, else any node; edges from a node to itself do not count.
/// Features are the class's mean, itself normal with deviation `signal`, plus normal noise of
/// deviation 1. The split is random_split's.
/// @throws ConfigError unless every class has two nodes and there are at most a quarter as many
/// edges as pairs of a class's nodes
Graph synthetic_graph(const BlockModel& model);

}  // namespace ebb
