#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "data/graph.h"
#include "tests/errors.h"

using namespace ebb;
using test::contains;
using test::data_error_of;

namespace {

/// A ring of n nodes in two classes with two features each.
Graph ring(std::int64_t n) {
  Graph graph{.name = "ring", .features = Tensor::zeros({n, 2}), .classes = 2};
  std::vector<Edge> edges;
  for (std::int64_t i = 0; i < n; ++i) {
    edges.push_back({i, (i + 1) % n});
    graph.labels.push_back(static_cast<std::int32_t>(i % 2));
    graph.features[2 * i] = static_cast<float>(i);
    graph.features[2 * i + 1] = 3.0f;
  }
  graph.neighbours = undirected(n, edges);
  graph.split = random_split(n, Key(1));
  return graph;
}

}  // namespace

TEST_CASE("a sound graph is consistent; each thing that can be wrong with one is named") {
  const Graph good = ring(10);
  require_consistent(good);
  struct Case {
    const char* expected;
    void (*spoil)(Graph&);
  };
  const Case cases[] = {
      {"expected features",
       [](Graph& g) {
         g.features = Tensor::zeros({9, 2});
       }},
      {"expected features",
       [](Graph& g) {
         g.features = Tensor::zeros({10, 0});
       }},
      {"edges among 10 nodes", [](Graph& g) { g.neighbours = undirected(9, {}); }},
      {"include itself", [](Graph& g) { g.neighbours.columns[0] = 0; }},
      {"outside the graph", [](Graph& g) { g.neighbours.columns[1] = 10; }},
      {"only one direction", [](Graph& g) { g.neighbours.columns[1] = 8; }},
      {"at least 2 classes", [](Graph& g) { g.classes = 1; }},
      {"node 3 has label 2", [](Graph& g) { g.labels[3] = 2; }},
      {"not finite", [](Graph& g) { g.features[5] = NAN; }},
      {"names node 10", [](Graph& g) { g.split.test.back() = 10; }},
      {"must not overlap", [](Graph& g) { g.split.test = g.split.validation; }},
      {"not in ascending order", [](Graph& g) { std::swap(g.split.train[0], g.split.train[1]); }},
      {"nodes to train on", [](Graph& g) { g.split.train.clear(); }},
  };
  for (const Case& c : cases) {
    Graph bad = good;
    c.spoil(bad);
    CAPTURE(std::string(c.expected));
    const std::string message = data_error_of([&] { require_consistent(bad); });
    CAPTURE(message);
    CHECK(contains(message, c.expected));
    if (&c != &cases[0]) CHECK(bad.fingerprint() != (bad.classes == 1 ? "" : good.fingerprint()));
  }
  CHECK(
      contains(describe(good), "ring: 10 nodes, 10 edges, 2 features, 2 classes; 6 / 2 / 2 nodes"));
}

TEST_CASE("a random split deals out every node once, 60 to 20 to 20, by its key") {
  for (const std::int64_t n : {5, 10, 11, 1234}) {
    const GraphSplit split = random_split(n, Key(5));
    CHECK(static_cast<double>(split.train.size()) ==
          std::floor(0.6 * static_cast<double>(n) + 0.5));
    CHECK(static_cast<double>(split.validation.size()) ==
          std::floor(0.2 * static_cast<double>(n) + 0.5));
    std::vector<std::int64_t> all = split.train;
    for (const auto* part : {&split.validation, &split.test})
      all.insert(all.end(), part->begin(), part->end());
    std::ranges::sort(all);
    CHECK(static_cast<std::int64_t>(all.size()) == n);
    CHECK(std::ranges::adjacent_find(all) == all.end());
    CHECK(split == random_split(n, Key(5)));
  }
  CHECK(random_split(1234, Key(5)) != random_split(1234, Key(6)));
}

TEST_CASE("a planetoid split takes 20 nodes of every class, then 500 and 1,000 of the others") {
  Graph graph = ring(1600);
  graph.split = planetoid_split(graph, Key(2));
  require_consistent(graph);
  CHECK(graph.split.train.size() == 40);
  CHECK(std::ranges::count_if(graph.split.train, [&](std::int64_t i) {
          return graph.labels[static_cast<std::size_t>(i)] == 1;
        }) == 20);
  CHECK(graph.split.validation.size() == 500);
  CHECK(graph.split.test.size() == 1000);
  CHECK(
      contains(data_error_of([] { planetoid_split(ring(40), Key(2)); }), "too few for 20 a class"));
  CHECK(contains(data_error_of([] { planetoid_split(ring(1500), Key(2)); }),
                 "fewer than 500 and 1,000"));
}

TEST_CASE("features are scaled by node or by column; zeros and constants stay harmless") {
  Graph graph = ring(4);  // features (i, 3)
  graph.features[1] = 0;  // node 0 has only zeros
  scale_features(graph, FeatureScaling::rows);
  const float by_rows[] = {0, 0, 0.25f, 0.75f, 0.4f, 0.6f, 0.5f, 0.5f};
  for (int i = 0; i < 8; ++i) CHECK(graph.features[i] == by_rows[i]);

  graph = ring(4);
  scale_features(graph, FeatureScaling::columns);  // 0 1 2 3 has mean 1.5 and deviation sqrt(1.25)
  for (int i = 0; i < 4; ++i) {
    const double exact = (i - 1.5) / std::sqrt(1.25);
    CHECK(std::abs(graph.features[2 * i] - exact) <=
          0x1p-24 * std::abs(exact) + 1e-15);  // rounded once; the rest is double
    CHECK(graph.features[2 * i + 1] == 0.0f);
  }
  CHECK(parse_feature_scaling("rows") == FeatureScaling::rows);
  CHECK_THROWS_AS(parse_feature_scaling("row"), ConfigError);
}
