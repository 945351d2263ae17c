#pragma once

#include <cstdint>
#include <string>

#include "layers/pass.h"

namespace ebb {

/// Normalises every row, the elements along the last axis, by its own moments: y = xhat weight + bias with
/// xhat = (x - mean) / sqrt(variance + 1e-5). Nothing is kept from training for evaluation.
///
/// Mean and (population) variance of a row are in double: 16 lanes, lane l adding elements l, l + 16, ... in ascending order,
/// joined by tree_sum; the variance is taken about the mean. xhat is computed in double and rounded once; then product and sum are
/// float32. Source: Ba, Kiros, Hinton, "Layer normalization", arXiv 1607.06450.
struct LayerNorm {
  std::int64_t width = 0;
  ParamId weight, bias;

  /// Adds "<name>.weight", all 1, and "<name>.bias", all 0. @throws ShapeError unless width >= 1
  static LayerNorm create(ParamStore& params, const std::string& name, std::int64_t width);

  /// @throws ShapeError unless x is [..., width]
  Var operator()(Pass& pass, Var x) const;
};

/// The same without weight and bias: xhat. @throws ShapeError for a scalar or an empty last axis
Var layer_norm(Pass& pass, Var x);

}  // namespace ebb
