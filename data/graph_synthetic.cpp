#include "data/graph_synthetic.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"

namespace ebb {
namespace {

std::vector<Edge> draw_edges(const BlockModel& model, Key key) {
  const auto nodes = static_cast<std::uint64_t>(model.nodes),
             classes = static_cast<std::uint64_t>(model.classes),
             wanted = static_cast<std::uint64_t>(model.edges);
  std::vector<std::uint64_t> edges;  // lower end * nodes + higher end
  for (std::uint64_t draw = 0; edges.size() < wanted;) {
    for (; edges.size() < wanted; ++draw) {
      const std::uint64_t a = key.below(3 * draw, nodes), block = a % classes;
      const bool inside = key.uniform(3 * draw + 1) < model.inside;
      const std::uint64_t members = (nodes - block + classes - 1) / classes;
      const std::uint64_t b = inside ? block + classes * key.below(3 * draw + 2, members)
                                     : key.below(3 * draw + 2, nodes);
      if (a != b) edges.push_back(std::min(a, b) * nodes + std::max(a, b));
    }
    std::ranges::sort(edges);
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  }
  std::vector<Edge> result;
  for (const std::uint64_t edge : edges) {
    result.push_back(
        {static_cast<std::int64_t>(edge / nodes), static_cast<std::int64_t>(edge % nodes)});
  }
  return result;
}

}  // namespace

Graph synthetic_graph(const BlockModel& model) {
  const std::int64_t members = model.classes > 0 ? model.nodes / model.classes : 0;
  require<ConfigError>(model.classes >= 2 && members >= 2,
                       "[synthetic] expected 2 nodes and more in each of 2 classes and more, got ",
                       model.nodes, " nodes in ", model.classes, " classes");
  require<ConfigError>(
      model.edges >= 0 && model.edges <= members * (members - 1) / 8 * model.classes,
      "[synthetic] ", model.edges, " edges are too many among ", model.nodes, " nodes in ",
      model.classes, " classes");
  const Key key = Key(name_hash("embedded graph")).fold(model.name);
  Graph graph{.name = std::string(model.name), .classes = model.classes};
  graph.neighbours = undirected(model.nodes, draw_edges(model, key.fold("edges")));
  for (std::int64_t i = 0; i < model.nodes; ++i)
    graph.labels.push_back(static_cast<std::int32_t>(i % model.classes));
  graph.features = Tensor::uninitialized({model.nodes, model.features});
  float* const out = graph.features.data();
  const Key means = key.fold("means"), noise = key.fold("noise");
  parallel_rows(model.nodes, model.features * 32, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t j = 0; j < model.features; ++j) {
        const double mean =
            means.normal(static_cast<std::uint64_t>(i % model.classes * model.features + j));
        out[i * model.features + j] = static_cast<float>(
            model.signal * mean + noise.normal(static_cast<std::uint64_t>(i * model.features + j)));
      }
    }
  });
  graph.split = random_split(model.nodes, key.fold("split"));
  return graph;
}

}  // namespace ebb
