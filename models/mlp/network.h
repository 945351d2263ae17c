#pragma once

#include <cstdint>
#include <vector>

#include "models/classifier.h"

namespace ebb {

struct MlpConfig {
  std::vector<std::int64_t> hidden{256, 128};  ///< widths of the hidden layers
  bool norm = false;  ///< batch norm after each of them, in place of its bias
};

/// Fully connected network with ReLU between its layers: sites fc1, fc2, ... of which the first is
/// tagged `first` and the last `last`. Weights start as He, biases at zero.
/// @throws ConfigError for a hidden width below 1
Classifier make_mlp(const MlpConfig& config, const Shape& image, int classes, ParamStore& params,
                    Key key);

}  // namespace ebb
