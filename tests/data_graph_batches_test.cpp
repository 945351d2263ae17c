#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "data/graph_batches.h"
#include "data/graph_synthetic.h"

using namespace ebb;

namespace {

const Graph& graph() {
  static const Graph kGraph = synthetic_graph(
      {.name = "test", .nodes = 300, .edges = 2500, .features = 3, .classes = 3, .inside = 0.5});
  return kGraph;
}

/// The neighbours of target i of a hop, as nodes of the graph.
std::vector<std::int64_t> in_neighbours(const GraphHop& hop, std::int64_t i) {
  std::vector<std::int64_t> nodes;
  for (const std::int32_t k : hop.adjacency.row(i))
    nodes.push_back(hop.nodes[static_cast<std::size_t>(k)]);
  return nodes;
}

}  // namespace

TEST_CASE(
    "an epoch visits every training node once; its batches have real neighbours, at most as "
    "many as asked for") {
  const GraphBatchSource source(graph(), 64, {5, 9}, Key(1));
  CHECK(source.batches_per_epoch() == 3);
  std::multiset<std::int64_t> visited;
  for (std::int64_t t = 0; t < 3; ++t) {
    const GraphBatch batch = source.batch(t);
    REQUIRE(batch.hops.size() == 2);
    CHECK(batch.hops[1].adjacency.rows() == source.batch_size(t));
    CHECK(batch.hops[0].adjacency.rows() == batch.hops[1].adjacency.cols);
    CHECK(static_cast<std::int64_t>(batch.labels.size()) == source.batch_size(t));
    for (std::size_t layer = 0; layer < 2; ++layer) {
      const GraphHop& hop = batch.hops[layer];
      CHECK(std::set(hop.nodes.begin(), hop.nodes.end()).size() == hop.nodes.size());
      CHECK(hop.adjacency.cols == static_cast<std::int64_t>(hop.nodes.size()));
      for (std::int64_t i = 0; i < hop.adjacency.rows(); ++i) {
        const auto all = graph().neighbours.row(hop.nodes[static_cast<std::size_t>(i)]);
        const std::vector<std::int64_t> adjacency = in_neighbours(hop, i);
        CHECK(adjacency.size() == std::min<std::size_t>(all.size(), layer == 0 ? 5 : 9));
        CHECK(std::ranges::adjacent_find(adjacency, std::ranges::greater_equal{}) ==
              adjacency.end());  // ascending, none twice
        CHECK(std::ranges::all_of(
            adjacency, [&](std::int64_t node) { return std::ranges::binary_search(all, node); }));
      }
    }
    const auto targets = std::span(batch.hops[1].nodes).first(batch.labels.size());
    for (std::size_t i = 0; i < targets.size(); ++i) {
      visited.insert(targets[i]);
      CHECK(batch.labels[i] == graph().labels[static_cast<std::size_t>(targets[i])]);
    }
    CHECK(std::equal(batch.hops[1].nodes.begin(), batch.hops[1].nodes.end(),
                     batch.hops[0].nodes.begin()));
  }
  CHECK(std::ranges::equal(visited, graph().split.train));
}

TEST_CASE("a target without neighbours samples none, one with few samples them all, each once") {
  const Graph small{.name = "small",
                    .neighbours = undirected(4, std::vector<Edge>{{0, 1}, {1, 1}, {1, 0}, {1, 3}}),
                    .features = Tensor::zeros({4, 1}),
                    .labels = {0, 1, 0, 1},
                    .classes = 2,
                    .split = {.train = {1, 2}, .validation = {}, .test = {0}}};
  require_consistent(small);
  const GraphBatchSource source(small, 2, {3, 3}, Key(1));
  const GraphBatch batch = source.batch(0);
  for (const GraphHop& hop : batch.hops) {
    for (std::int64_t i = 0; i < hop.adjacency.rows(); ++i) {
      const std::int64_t node = hop.nodes[static_cast<std::size_t>(i)];
      const auto all = small.neighbours.row(node);
      CHECK(in_neighbours(hop, i) == std::vector<std::int64_t>(all.begin(), all.end()));
    }
  }
}

TEST_CASE("a batch is a function of key and iteration") {
  const GraphBatchSource source(graph(), 32, {3}, Key(1)), same(graph(), 32, {3}, Key(1)),
      other(graph(), 32, {3}, Key(2));
  static_cast<void>(same.batch(8));
  CHECK(source.batch(3).hops[0].adjacency == same.batch(3).hops[0].adjacency);
  CHECK(source.batch(3).hops[0].nodes == same.batch(3).hops[0].nodes);
  CHECK(source.batch(3).hops[0].nodes != other.batch(3).hops[0].nodes);
}

TEST_CASE("each neighbour is as likely to be adjacency as any other") {
  const std::int64_t node = graph().split.train[0];
  const std::int64_t degree = graph().neighbours.count(node);
  REQUIRE(degree > 4);
  const GraphBatchSource source(graph(), graph().nodes(), {3}, Key(5));
  std::map<std::int64_t, double> adjacency;
  constexpr int rounds = 4000;
  for (int t = 0; t < rounds; ++t) {
    const GraphBatch batch = source.batch(t);
    const GraphHop& hop = batch.hops[0];
    const auto at = std::ranges::find(hop.nodes, node) - hop.nodes.begin();
    for (const std::int64_t k : in_neighbours(hop, at)) adjacency[k] += 1;
  }
  const double share = 3.0 / static_cast<double>(degree),
               deviation = std::sqrt(rounds * share * (1 - share));
  CHECK(static_cast<std::int64_t>(adjacency.size()) == degree);
  for (const auto& [k, count] : adjacency) CHECK(std::abs(count - rounds * share) < 5 * deviation);
}

TEST_CASE("features and labels are gathered by node; impossible settings are refused") {
  const Tensor rows = features_of(graph(), {7, 2});
  for (std::int64_t j = 0; j < 3; ++j) {
    CHECK(rows[j] == graph().features[21 + j]);
    CHECK(rows[3 + j] == graph().features[6 + j]);
  }
  CHECK(labels_of(graph(), {7, 2}) == std::vector<std::int32_t>{1, 2});
  CHECK_THROWS_AS(GraphBatchSource(graph(), 0, {3}, Key(1)), ConfigError);
  CHECK_THROWS_AS(GraphBatchSource(graph(), 8, {3, 0}, Key(1)), ConfigError);
}
