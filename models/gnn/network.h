#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/setting.h"
#include "train/tasks/graphs.h"

namespace ebb {

/// Graph networks of equal layers between features and logits.
struct GnnConfig {
  std::string arch = "gcn";  ///< gcn or sage, see layers/graph.h
  std::int64_t layers = 2, hidden = 16;
  Setting input_dropout = 0.5,
          dropout = 0.5;    ///< before the first layer, and before each of the others
  bool layer_norm = false;  ///< by node, after each ReLU
  bool self_loops = true;   ///< of gcn
};

/// --layers, --hidden, --dropout, --input-dropout, --norm and --self-loops.
std::vector<train::OptionSpec> gnn_options();
GnnConfig gnn_config(const train::Options& options);

/// dropout, layer, ReLU, layer norm, ..., dropout, layer: layers "layer1", "layer2", ..., the first
/// tagged `first`, the last `last`. Weights start as Glorot, biases at zero. Logits stay float32.
/// @throws ConfigError for an unknown architecture
train::GraphNetwork make_gnn(const GnnConfig& config, std::int64_t features, int classes,
                             ParamStore& params, Key key);

}  // namespace ebb
