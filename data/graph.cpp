#include "data/graph.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <span>

#include "core/error.h"
#include "core/sha256.h"
#include "core/sums.h"

namespace ebb {
namespace {

static_assert(std::endian::native == std::endian::little,
              "fingerprints hash numbers as they lie in memory");

template <class T>
void hash_all(Sha256& hash, const std::vector<T>& values) {
  const std::uint64_t size = values.size();
  hash.update(std::as_bytes(std::span(&size, 1))).update(std::as_bytes(std::span(values)));
}

std::vector<std::int64_t> drawn_order(std::int64_t n, Key key) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  shuffle_indices(key, order);
  return order;
}

void require_split(const Graph& graph) {
  const GraphSplit& split = graph.split;
  std::vector<const char*> part_of(graph.labels.size(), nullptr);
  for (const auto& [part, nodes] : {std::pair{"train", &split.train},
                                    {"validation", &split.validation},
                                    {"test", &split.test}}) {
    for (const std::int64_t node : *nodes) {
      require<DataError>(node >= 0 && node < graph.nodes(), "[graph] ", graph.name, ": the ", part,
                         " part names node ", node, "; there are nodes 0 .. ", graph.nodes() - 1);
      const char*& taken = part_of[static_cast<std::size_t>(node)];
      require<DataError>(taken == nullptr, "[graph] ", graph.name, ": node ", node, " is in the ",
                         part, " part and in the ", taken == nullptr ? "" : taken,
                         " part; a split must not overlap");
      taken = part;
    }
    require<DataError>(std::ranges::is_sorted(*nodes), "[graph] ", graph.name, ": the ", part,
                       " part is not in ascending order");
  }
  require<DataError>(!split.train.empty() && !split.test.empty(), "[graph] ", graph.name,
                     ": expected nodes to train on and to test, got ", split.train.size(), " and ",
                     split.test.size());
}

}  // namespace

std::string Graph::fingerprint() const {
  Sha256 hash;
  hash_all(hash, neighbours.starts);
  hash_all(hash, neighbours.columns);
  hash.update(std::as_bytes(features.values()));
  hash_all(hash, labels);
  for (const auto* part : {&split.train, &split.validation, &split.test}) hash_all(hash, *part);
  return hash.hex();
}

std::string describe(const Graph& graph) {
  std::string text =
      concat(graph.name, ": ", graph.nodes(), " nodes, ", graph.neighbours.entries() / 2,
             " edges, ", graph.features.shape()[-1], " features, ", graph.classes, " classes; ",
             graph.split.train.size(), " / ", graph.split.validation.size(), " / ",
             graph.split.test.size(), " nodes to train, validate, test");
  for (const std::string& note : graph.notes) text += "; " + note;
  return text;
}

void require_consistent(const Graph& graph) {
  const auto expect = [&](bool ok, const auto&... parts) {
    require<DataError>(ok, "[graph] ", graph.name, ": ", parts...);
  };
  const Shape& shape = graph.features.shape();
  expect(graph.nodes() >= 1 && shape.rank() == 2 && shape[0] == graph.nodes() && shape[1] >= 1,
         "expected features [nodes, features], got ", shape, " for ", graph.nodes(), " labels");
  expect(graph.neighbours.rows() == graph.nodes() && graph.neighbours.cols == graph.nodes(),
         "expected edges among ", graph.nodes(), " nodes, got ", graph.neighbours.rows(), " x ",
         graph.neighbours.cols);
  for (std::int64_t i = 0; i < graph.nodes(); ++i) {
    const auto row = graph.neighbours.row(i);
    expect(std::ranges::adjacent_find(row, std::ranges::greater_equal{}) == row.end() &&
               (row.empty() || (row.front() >= 0 && row.back() < graph.nodes())) &&
               !std::ranges::binary_search(row, i),
           "the neighbours of node ", i, " are not ascending, outside the graph or include itself");
  }
  expect(graph.neighbours.transposed() == graph.neighbours, "an edge has only one direction");
  expect(graph.classes >= 2, "expected at least 2 classes, got ", graph.classes);
  for (std::size_t i = 0; i < graph.labels.size(); ++i) {
    expect(graph.labels[i] >= 0 && graph.labels[i] < graph.classes, "node ", i, " has label ",
           graph.labels[i], "; expected 0 .. ", graph.classes - 1);
  }
  expect(std::ranges::all_of(graph.features.values(), [](float v) { return v - v == 0.0f; }),
         "a feature is not finite");
  require_split(graph);
}

GraphSplit random_split(std::int64_t nodes, Key key) {
  const std::vector<std::int64_t> order = drawn_order(nodes, key);
  const std::int64_t train = (6 * nodes + 5) / 10, validation = (2 * nodes + 5) / 10;
  GraphSplit split{.train = {order.begin(), order.begin() + train},
                   .validation = {order.begin() + train, order.begin() + train + validation},
                   .test = {order.begin() + train + validation, order.end()}};
  for (auto* part : {&split.train, &split.validation, &split.test}) std::ranges::sort(*part);
  return split;
}

GraphSplit planetoid_split(const Graph& graph, Key key) {
  constexpr std::int64_t per_class = 20;
  constexpr std::size_t validation = 500, test = 1000;
  std::vector<std::int64_t> taken(static_cast<std::size_t>(graph.classes)), rest;
  GraphSplit split;
  for (const std::int64_t node : drawn_order(graph.nodes(), key)) {
    auto& count = taken[static_cast<std::size_t>(graph.labels[static_cast<std::size_t>(node)])];
    (count < per_class ? split.train : rest).push_back(node);
    ++count;
  }
  for (std::size_t label = 0; label < taken.size(); ++label) {
    require<DataError>(taken[label] > per_class, "[graph] ", graph.name, ": class ", label, " has ",
                       taken[label], " nodes, too few for 20 a class; use --split random");
  }
  require<DataError>(
      rest.size() >= validation + test, "[graph] ", graph.name, ": ", rest.size(),
      " nodes are left beside 20 a class, fewer than 500 and 1,000; use --split random");
  split.validation.assign(rest.begin(), rest.begin() + validation);
  split.test.assign(rest.begin() + validation, rest.begin() + validation + test);
  for (auto* part : {&split.train, &split.validation, &split.test}) std::ranges::sort(*part);
  return split;
}

FeatureScaling parse_feature_scaling(std::string_view text) {
  const std::array<std::string, 3> names{"none", "rows", "columns"};
  const auto found = std::ranges::find(names, text);
  require<ConfigError>(found != names.end(), "[graph] ",
                       unknown_word("scaling of features", text, names));
  return static_cast<FeatureScaling>(found - names.begin());
}

void scale_features(Graph& graph, FeatureScaling scaling) {
  const std::int64_t nodes = graph.features.shape()[0], features = graph.features.shape()[1];
  float* const x = graph.features.data();
  if (scaling == FeatureScaling::rows) {
    for (std::int64_t i = 0; i < nodes; ++i) {
      const std::span<float> row(x + i * features, static_cast<std::size_t>(features));
      const double total = sum_of(row);
      if (total == 0.0) continue;
      for (float& v : row) v = static_cast<float>(static_cast<double>(v) / total);
    }
  } else if (scaling == FeatureScaling::columns) {
    const ColumnMoments moments = column_moments(graph.features.matrix());
    for (std::int64_t j = 0; j < features; ++j) {
      const double mean = moments.mean[static_cast<std::size_t>(j)],
                   variance = moments.variance[static_cast<std::size_t>(j)];
      const double slope = variance > 0 ? 1.0 / std::sqrt(variance) : 0.0;  // a constant column
      for (std::int64_t i = 0; i < nodes; ++i) {
        x[i * features + j] =
            static_cast<float>((static_cast<double>(x[i * features + j]) - mean) * slope);
      }
    }
  }
}

}  // namespace ebb
