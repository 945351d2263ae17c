#include "data/graph_batches.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace ebb {
namespace {

constexpr std::int64_t kMostFanout = std::int64_t{1} << 20;

/// `count` of the places 0 .. size-1, ascending.
std::vector<std::int64_t> draw_places(std::int64_t size, std::int64_t count, Key key,
                                      std::int64_t node) {
  std::vector<std::int64_t> places;
  const auto counter = static_cast<std::uint64_t>(node) << 20;
  for (std::int64_t last = size - count; last < size; ++last) {
    const auto draw = counter + static_cast<std::uint64_t>(last - (size - count));
    const auto place =
        static_cast<std::int64_t>(key.below(draw, static_cast<std::uint64_t>(last) + 1));
    places.push_back(std::ranges::find(places, place) == places.end() ? place : last);
  }
  std::ranges::sort(places);
  return places;
}

GraphHop draw_hop(const Csr& neighbours, std::vector<std::int64_t> targets, std::int64_t fanout,
                  Key key, std::vector<std::int32_t>& number) {
  GraphHop hop{.adjacency = {}, .nodes = std::move(targets)};
  const std::size_t count = hop.nodes.size();
  for (std::size_t i = 0; i < count; ++i)
    number[static_cast<std::size_t>(hop.nodes[i])] = static_cast<std::int32_t>(i);
  std::vector<std::int32_t> row;
  const auto hear = [&](std::int32_t node) {
    std::int32_t& known = number[static_cast<std::size_t>(node)];
    if (known < 0) {
      known = static_cast<std::int32_t>(hop.nodes.size());
      hop.nodes.push_back(node);
    }
    row.push_back(known);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t target = hop.nodes[i];
    const auto all = neighbours.row(target);
    row.clear();
    if (static_cast<std::int64_t>(all.size()) <= fanout) {
      for (const std::int32_t node : all) hear(node);
    } else {
      for (const std::int64_t place :
           draw_places(static_cast<std::int64_t>(all.size()), fanout, key, target)) {
        hear(all[static_cast<std::size_t>(place)]);
      }
    }
    hop.adjacency.add_row(row);
  }
  hop.adjacency.cols = static_cast<std::int64_t>(hop.nodes.size());
  for (const std::int64_t node : hop.nodes) number[static_cast<std::size_t>(node)] = -1;
  return hop;
}

}  // namespace

GraphBatchSource::GraphBatchSource(const Graph& graph, std::int64_t batch,
                                   std::vector<std::int64_t> fanouts, Key key)
    : graph_(&graph),
      fanouts_(std::move(fanouts)),
      key_(key),
      order_(static_cast<std::int64_t>(graph.split.train.size()), batch, key.fold("order")) {
  for (const std::int64_t fanout : fanouts_) {
    require<ConfigError>(fanout >= 1 && fanout < kMostFanout, "[graph batches] expected 1 to ",
                         kMostFanout - 1, " neighbours a layer, got ", fanout);
  }
}

GraphBatch GraphBatchSource::batch(std::int64_t iteration) const {
  std::vector<std::int64_t> targets;
  for (const std::int64_t i : order_.indices(iteration))
    targets.push_back(graph_->split.train[static_cast<std::size_t>(i)]);
  const Key key = key_.fold("hear").fold(static_cast<std::uint64_t>(iteration));
  GraphBatch batch{.hops = std::vector<GraphHop>(fanouts_.size()),
                   .labels = labels_of(*graph_, targets)};
  std::vector<std::int32_t> number(static_cast<std::size_t>(graph_->nodes()), -1);
  for (std::size_t layer = fanouts_.size(); layer-- > 0;) {
    batch.hops[layer] = draw_hop(graph_->neighbours, std::move(targets), fanouts_[layer],
                                 key.fold(static_cast<std::uint64_t>(layer)), number);
    targets = batch.hops[layer].nodes;
  }
  return batch;
}

Tensor features_of(const Graph& graph, const std::vector<std::int64_t>& nodes) {
  const std::int64_t width = graph.features.shape()[1];
  Tensor rows = Tensor::uninitialized({static_cast<std::int64_t>(nodes.size()), width});
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::copy_n(graph.features.data() + nodes[i] * width, width,
                rows.data() + static_cast<std::int64_t>(i) * width);
  }
  return rows;
}

std::vector<std::int32_t> labels_of(const Graph& graph, const std::vector<std::int64_t>& nodes) {
  std::vector<std::int32_t> labels;
  labels.reserve(nodes.size());
  for (const std::int64_t node : nodes)
    labels.push_back(graph.labels[static_cast<std::size_t>(node)]);
  return labels;
}

}  // namespace ebb
