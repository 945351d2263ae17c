#pragma once

#include <string>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"

namespace ebb {

/// A convolution and the batch norm that follows it, the building block of residual networks, as
/// one op: relu(norm(conv(x)) + add), relu and add being optional. The bits are those of the
/// separate ops. The intermediate values are not on the tape: their statistics, masks and gradients
/// are computed while rows are in cache.
struct ConvNorm {
  Conv2d conv;
  BatchNorm norm;

  /// Adds the convolution's parameters under the site's name, without a bias, and the batch norm's
  /// under `norm_name`. @throws as Conv2d::create
  static ConvNorm create(ParamStore& params, Site site, const std::string& norm_name, Tensor weight,
                         const ConvConfig& config);

  /// @throws as Conv2d and BatchNorm
  Var operator()(Pass& pass, Var x, const BatchNorm::Then& then) const;
  Var operator()(Pass& pass, Var x) const { return (*this)(pass, x, BatchNorm::Then{}); }
};

}  // namespace ebb
