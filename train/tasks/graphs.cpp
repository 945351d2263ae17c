#include "train/tasks/graphs.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "data/graph_batches.h"
#include "data/graph_open.h"
#include "layers/loss.h"
#include "train/tasks/scorers.h"

namespace ebb::train {
namespace {

// The graph with what every step or evaluation on all of it shares.
struct Feed {
  std::shared_ptr<const Graph> graph;
  GraphNetwork network;
  Neighbourhoods whole;                       // every layer sees the whole graph
  std::optional<GraphBatchSource> batches{};  // of sampled neighbours
};

std::vector<std::int64_t> degrees_of(const Graph& graph, std::span<const std::int64_t> nodes) {
  std::vector<std::int64_t> degrees;
  degrees.reserve(nodes.size());
  for (const std::int64_t node : nodes) degrees.push_back(graph.neighbours.count(node));
  return degrees;
}

/// Every layer sees all nodes.
Neighbourhoods whole_graph(const Graph& graph, const GraphNetwork& network) {
  std::vector<std::int64_t> everybody(static_cast<std::size_t>(graph.nodes()));
  std::iota(everybody.begin(), everybody.end(), 0);
  return Neighbourhoods(static_cast<std::size_t>(network.layers),
                        network.neighbourhood(graph.neighbours, degrees_of(graph, everybody)));
}

Neighbourhoods sampled(const Feed& feed, const GraphBatch& batch) {
  Neighbourhoods neighbourhoods;
  for (const GraphHop& hop : batch.hops)
    neighbourhoods.push_back(
        feed.network.neighbourhood(hop.adjacency, degrees_of(*feed.graph, hop.nodes)));
  return neighbourhoods;
}

// "10,5": neighbours at the most by layer; "10": in every layer.
std::vector<std::int64_t> parse_fanouts(const std::string& text, std::int64_t layers) {
  std::vector<std::int64_t> fanouts;
  for (const std::string& word : split_at(text, ',')) {
    std::int64_t fanout = 0;
    require<ConfigError>(parse_number(word, fanout) && fanout >= 1,
                         "[command line] --fanout: expected all or numbers of 1 and more, got '",
                         text, "'");
    fanouts.push_back(fanout);
  }
  if (fanouts.size() == 1) fanouts.assign(static_cast<std::size_t>(layers), fanouts[0]);
  require<ConfigError>(static_cast<std::int64_t>(fanouts.size()) == layers,
                       "[command line] --fanout: expected all, a number, or ", layers,
                       " numbers, one per layer, got '", text, "'");
  return fanouts;
}

Split split_of(std::string name, const std::shared_ptr<const Feed>& feed,
               const std::vector<std::int64_t>& nodes) {
  const auto add = [feed, &nodes](Pass& pass, std::int64_t, ScoreSums& sums) {
    const Var all =
        feed->network.forward(pass, pass.tape.constant(feed->graph->features), feed->whole);
    add_predictions(pass, select_rows(pass, all, nodes), labels_of(*feed->graph, nodes), sums);
  };
  return sum_split(std::move(name), 1, {accuracy()}, add);
}

}  // namespace

std::vector<OptionSpec> graph_options() {
  std::vector<OptionSpec> options{
      {.name = "data",
       .value = "DIR|NAME",
       .fallback = "synthetic",
       .help = "directory with LINQS or OGB files, or synthetic, or synthetic-arxiv",
       .use = OptionSpec::Use::evaluation,
       .adjustable = true},
      {.name = "split",
       .value = "auto|random|planetoid|NAME",
       .fallback = "auto",
       .help = "which nodes train, validate and test; auto: as the files say; random: 60/20/20 "
               "%; planetoid: 20 per class/500/1000; or the name of an OGB split"},
      {.name = "scale-features",
       .value = "auto|none|rows|columns",
       .fallback = "auto",
       .help = "rows: each node's features sum to 1; columns: each feature has mean 0 and "
               "standard deviation 1; auto: rows, or none if a feature is negative",
       .choices = {"auto", "none", "rows", "columns"}},
      {.name = "fanout",
       .value = "all|N|N,N,...",
       .fallback = "all",
       .help = "largest number of sampled neighbours, one for each layer from the input on, "
               "with mini-batches of --batch nodes; all: full-graph training",
       .use = OptionSpec::Use::training}};
  std::ranges::move(loss_options(false), std::back_inserter(options));
  return options;
}

namespace {

Graph open_scaled(const std::string& where, const std::string& split, const Options& options) {
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("split");
  Graph graph = ebb::open_graph(where, split, key);
  const std::string& scaling = options.text("scale-features");
  const bool negative = std::ranges::any_of(graph.features.values(), [](float v) { return v < 0; });
  scale_features(graph, scaling != "auto" ? parse_feature_scaling(scaling)
                        : negative        ? FeatureScaling::none
                                          : FeatureScaling::rows);
  return graph;
}

/// Every node of another graph of the same features.
FileScorer score_graph(const std::string& path, const std::shared_ptr<const Feed>& feed,
                       const Options& options) {
  const auto graph = std::make_shared<const Graph>(open_scaled(path, "random", options));
  const std::int64_t features = graph->features.shape()[1],
                     expected = feed->graph->features.shape()[1];
  require<DataError>(features == expected, "[predict] ", path, ": expected nodes of ", expected,
                     " features, as the network was trained on, got ", features);
  const auto rows = std::make_shared<std::vector<std::vector<std::string>>>();
  const auto add = [=](Pass& pass, std::int64_t) {
    const Var logits = feed->network.forward(pass, pass.tape.constant(graph->features),
                                             whole_graph(*graph, feed->network));
    for (const Prediction& each : predictions(pass.tape[logits]))
      rows->push_back(
          prediction_row(path, to_text(std::ssize(*rows)), to_text(each.label), each.probability));
  };
  return {1, add, [rows] { return *rows; }};
}

}  // namespace

Graph open_graph(const Options& options) {
  return open_scaled(options.text("data"), options.text("split"), options);
}

Task graph_task(const std::shared_ptr<const Graph>& graph, const GraphNetwork& network,
                const Options& options) {
  require<ConfigError>(options.integer("accumulate") == 1,
                       "[command line] --accumulate: a step on a graph is not cut; leave it out");
  const auto feed = std::make_shared<Feed>(
      Feed{.graph = graph, .network = network, .whole = whole_graph(*graph, network)});

  const LossSettings loss_of = loss_settings(options);
  Task task;
  task.metric = accuracy().metric;
  task.settings = loss_of.settings();
  if (options.text("fanout") == "all") {
    task.parts = [feed](std::int64_t) {
      return std::vector{static_cast<std::int64_t>(feed->graph->split.train.size())};
    };
    task.loss = [feed, loss_of, labels = labels_of(*graph, graph->split.train)](
                    Pass& pass, std::int64_t, std::int64_t) {
      const Var logits =
          feed->network.forward(pass, pass.tape.constant(feed->graph->features), feed->whole);
      return labelled_loss(pass, select_rows(pass, logits, feed->graph->split.train), labels,
                           loss_of);
    };
    task.kinds = [](std::int64_t) { return std::vector{Task::Examples{}}; };
  } else {
    const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("batches");
    feed->batches.emplace(*graph, options.integer("batch"),
                          parse_fanouts(options.text("fanout"), network.layers), key);
    task.steps_per_epoch = feed->batches->batches_per_epoch();
    task.parts = [feed](std::int64_t t) { return std::vector{feed->batches->batch_size(t)}; };
    task.loss = [feed, loss_of](Pass& pass, std::int64_t t, std::int64_t) {
      const GraphBatch batch = feed->batches->batch(t);
      const std::vector<std::int64_t>& nodes = batch.hops.front().nodes;
      const Var features = pass.tape.constant(
          pass.counting ? Tensor::shape_only({std::ssize(nodes), feed->graph->features.shape()[1]})
                        : features_of(*feed->graph, nodes));
      return labelled_loss(pass, feed->network.forward(pass, features, sampled(*feed, batch)),
                           batch.labels, loss_of);
    };
    task.kinds = [](std::int64_t t) { return std::vector{Task::Examples{.kind = t}}; };
  }
  task.unit = "first step";
  task.example = [loss = task.loss](Pass& pass, std::int64_t t) { return loss(pass, t, 0).value; };
  if (!graph->split.validation.empty())
    task.splits.push_back(split_of("validation", feed, graph->split.validation));
  task.splits.push_back(split_of("test", feed, graph->split.test));
  task.file_columns = prediction_columns();
  task.open_file = [feed, options](const std::string& path) {
    return score_graph(path, feed, options);
  };
  task.data = {{"description", describe(*graph)}, {"graph", graph->fingerprint()}};
  return task;
}

}  // namespace ebb::train
