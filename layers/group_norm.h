#pragma once

#include <cstdint>
#include <string>

#include "layers/pass.h"

namespace ebb {

/// Group normalisation of x [batch, ..., channels]: n = (x - mean) / sqrt(var + epsilon), y = n
/// weight + bias by channel. Mean and (biased) variance are those of one example and one of
/// `groups` equal parts of the channels, over all positions; one group is layer norm over an image,
/// as many groups as channels instance norm. The same in training and evaluation. Source: Wu, He,
/// "Group normalization", ECCV 2018.
struct GroupNorm {
  ParamId weight, bias;  ///< [channels]
  std::int64_t groups = 1;
  double epsilon = 1e-5;

  /// Adds "<name>.weight" (ones) and "<name>.bias" (zeros).
  /// @throws ConfigError unless groups >= 1 divide the channels, or if a name is taken
  static GroupNorm create(ParamStore& params, const std::string& name, std::int64_t groups,
                          std::int64_t channels);

  /// @throws ShapeError unless x is [batch, ..., channels] with at least one position
  Var operator()(Pass& pass, Var x) const;
};

}  // namespace ebb
