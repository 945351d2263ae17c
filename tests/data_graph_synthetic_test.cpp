#include <doctest/doctest.h>

#include <cmath>

#include "core/error.h"
#include "data/graph_synthetic.h"

using namespace ebb;

TEST_CASE(
    "a block model has exactly the nodes, edges and features asked for, and as many edges inside "
    "blocks as it says") {
  const BlockModel model{
      .name = "test", .nodes = 1003, .edges = 8000, .features = 5, .classes = 4, .inside = 0.7};
  const Graph graph = synthetic_graph(model);
  require_consistent(graph);
  CHECK(graph.nodes() == 1003);
  CHECK(graph.neighbours.entries() == 16'000);
  CHECK(graph.features.shape() == Shape{1003, 5});
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < graph.nodes(); ++i) {
    for (const std::int32_t j : graph.neighbours.row(i)) inside += i % 4 == j % 4 ? 1 : 0;
  }
  // 0.7 by intent and a quarter of the rest by chance. Repeated edges are drawn anew, and those
  // inside, 6,200 among 125,000 pairs, are repeated more often: up to 0.7 * 0.05 / 2 fewer of them.
  // Five deviations of 8,000 draws are 0.024.
  CHECK(std::abs(static_cast<double>(inside) / 16'000 - (0.7 + 0.3 / 4)) < 0.018 + 0.024);
}

TEST_CASE("features are the class's mean plus noise of deviation 1") {
  const Graph graph = synthetic_graph(
      {.name = "test", .nodes = 40'000, .edges = 0, .features = 2, .classes = 2, .signal = 3});
  for (int label = 0; label < 2; ++label) {
    for (int j = 0; j < 2; ++j) {
      double sum = 0, squares = 0;
      for (std::int64_t i = label; i < graph.nodes(); i += 2) {
        const double x = graph.features[2 * i + j];
        sum += x;
        squares += x * x;
      }
      const double mean = sum / 20'000;
      CHECK(std::abs(squares / 20'000 - mean * mean - 1) <
            0.05);  // five deviations of a variance: 5 sqrt(2 / 20,000)
    }
  }
}

TEST_CASE("the same model is the same graph, another name another one") {
  const BlockModel model{.name = "test", .nodes = 50, .edges = 60, .features = 3, .classes = 2};
  CHECK(synthetic_graph(model).fingerprint() == synthetic_graph(model).fingerprint());
  BlockModel other = model;
  other.name = "other";
  CHECK(synthetic_graph(model).fingerprint() != synthetic_graph(other).fingerprint());
  CHECK(synthetic_graph(kSmallGraph).fingerprint() ==
        "3f9550f062a6fc80e24947faf26ad0d5e3db57ab911a75a672c4f4a06e1129f6");
}

TEST_CASE("impossible models are refused") {
  CHECK_THROWS_AS(
      synthetic_graph({.name = "a", .nodes = 3, .edges = 1, .features = 1, .classes = 2}),
      ConfigError);
  CHECK_THROWS_AS(
      synthetic_graph({.name = "a", .nodes = 9, .edges = 1, .features = 1, .classes = 1}),
      ConfigError);
  CHECK_THROWS_AS(
      synthetic_graph({.name = "a", .nodes = 20, .edges = 100, .features = 1, .classes = 2}),
      ConfigError);
}
