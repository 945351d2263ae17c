#pragma once

#include <string>

#include "layers/pass.h"

namespace ebb {

/// Layer normalisation over the last axis: n = (x - mean) / sqrt(var + epsilon) by row, y = n
/// weight + bias. Mean, variance and the row sums of the gradient are chained sums in double.
/// Source: Ba, Kiros, Hinton, "Layer normalization", 2016.
struct LayerNorm {
  static constexpr double kEpsilon = 1e-5;
  ParamId weight, bias;

  /// Adds "<name>.weight" (ones) and "<name>.bias" (zeros).
  static LayerNorm create(ParamStore& params, const std::string& name, std::int64_t width);

  /// @throws ShapeError unless x is [..., width]
  Var operator()(Pass& pass, Var x) const;
};

}  // namespace ebb
