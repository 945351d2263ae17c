#pragma once

#include <cstdint>
#include <string>

#include "layers/pass.h"

namespace ebb {

/// Root mean square normalisation over the last axis: n = x / sqrt(mean of x^2 + epsilon) by row, y
/// = n weight. The mean and the row sums of the gradient are chained sums in double. Source: Zhang,
/// Sennrich, "Root mean square layer normalization", 2019.
struct RmsNorm {
  ParamId weight;
  double epsilon = 0x1p-23;  ///< PyTorch's for float32

  /// Adds "<name>.weight" (ones). @throws ConfigError if it is taken
  static RmsNorm create(ParamStore& params, const std::string& name, std::int64_t width);

  /// @throws ShapeError unless x is [..., width]
  Var operator()(Pass& pass, Var x) const;
};

}  // namespace ebb
