#include "models/gnn/network.h"

#include <memory>
#include <utility>
#include <variant>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/init.h"
#include "layers/layer_norm.h"
#include "train/options/conflicts.h"

namespace ebb {
namespace {

using Layer = std::variant<GraphConv, SageConv>;

Layer make_layer(const std::string& arch, const std::string& name,
                 const std::vector<std::string>& tags, const Shape& weight, ParamStore& params,
                 Key key) {
  const auto initial = [&](const char* part) {
    return glorot_uniform_init(weight, key.fold(name).fold(part));
  };
  if (arch == "gcn") return GraphConv::create(params, {name, tags}, initial("linear"));
  return SageConv::create(params, {name, tags}, initial("self"), initial("neighbour"));
}

}  // namespace

namespace {

// An option of what lies between two layers.
train::OptionSpec between_layers(train::OptionSpec option) {
  option.conflict = [](const train::Options& options) -> std::string {
    return options.integer("layers") == 1 ? "with --layers 1, where nothing lies between layers"
                                          : "";
  };
  return option;
}

}  // namespace

std::vector<train::OptionSpec> gnn_options() {
  using train::OptionSpec;
  return {OptionSpec::depth("2", "graph layers, the last of which gives the logits"),
          between_layers(OptionSpec::count("hidden", "16", "features between layers")),
          between_layers(
              OptionSpec::probability("dropout", "0.5", "probability of dropout between layers")),
          OptionSpec::probability("input-dropout", "0.5", "probability of dropout of the features"),
          between_layers({.name = "norm",
                          .value = "none|layer",
                          .fallback = "none",
                          .help = "after each ReLU; layer: layer norm by node",
                          .choices = {"none", "layer"}}),
          {.name = "self-loops",
           .value = "on|off",
           .fallback = "on",
           .help = "add self-loops (gcn), as in the renormalised graph convolution",
           .choices = {"on", "off"},
           .conflict = [](const train::Options& options) {
             return train::only_with(options, "arch", {"gcn"});
           }}};
}

GnnConfig gnn_config(const train::Options& options) {
  return {.arch = options.text("arch"),
          .layers = options.integer("layers"),
          .hidden = options.integer("hidden"),
          .input_dropout = options.real("input-dropout"),
          .dropout = options.real("dropout"),
          .layer_norm = options.text("norm") == "layer",
          .self_loops = options.text("self-loops") == "on"};
}

train::GraphNetwork make_gnn(const GnnConfig& config, std::int64_t features, int classes,
                             ParamStore& params, Key key) {
  require<ConfigError>(config.arch == "gcn" || config.arch == "sage",
                       "[gnn] expected gcn or sage, got '", config.arch, "'");
  require<ConfigError>(config.layers >= 1 && config.hidden >= 1,
                       "[gnn] expected 1 layer and 1 feature and more, got ", config.layers,
                       " and ", config.hidden);
  auto layers = std::make_shared<std::vector<Layer>>();
  auto norms = std::make_shared<std::vector<LayerNorm>>();
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const bool last = i + 1 == config.layers;
    std::vector<std::string> tags;
    if (i == 0) tags.emplace_back("first");
    if (last) tags.emplace_back("last");
    const Shape weight{last ? classes : config.hidden, i == 0 ? features : config.hidden};
    const std::string name = concat("layer", i + 1);
    layers->push_back(make_layer(config.arch, name, tags, weight, params, key));
    if (config.layer_norm && !last)
      norms->push_back(LayerNorm::create(params, name + ".norm", config.hidden));
  }
  train::GraphNetwork network{.layers = config.layers, .neighbourhood = {}, .forward = {}};
  network.neighbourhood = [config](const Csr& adjacency, std::span<const std::int64_t> degrees) {
    return config.arch == "gcn" ? symmetric_neighbourhood(adjacency, degrees, config.self_loops)
                                : mean_neighbourhood(adjacency);
  };
  network.forward = [config, layers, norms](Pass& pass, Var x,
                                            const train::Neighbourhoods& neighbourhoods) {
    for (std::size_t i = 0; i < layers->size(); ++i) {
      const double probability = i == 0 ? config.input_dropout : config.dropout;
      if (probability > 0) x = dropout(pass, x, probability, concat("layer", i + 1));
      x = std::visit([&](const auto& layer) { return layer(pass, x, neighbourhoods[i]); },
                     (*layers)[i]);
      if (i + 1 == layers->size()) break;
      x = relu(pass, x);
      if (config.layer_norm) x = (*norms)[i](pass, x);
    }
    return x;
  };
  return network;
}

}  // namespace ebb
