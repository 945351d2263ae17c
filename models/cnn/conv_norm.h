#pragma once

#include <string>

#include "core/params.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"

namespace ebb {

/// A convolution without bias and the batch norm that follows it, the brick of residual networks.
struct ConvNorm {
  Conv2d conv;
  BatchNorm norm;

  /// Adds the convolution's parameters under the site's name and the batch norm's under
  /// `norm_name`. @throws as Conv2d::create
  static ConvNorm create(ParamStore& params, Site site, const std::string& norm_name, Tensor weight,
                         const ConvConfig& config);
  Var operator()(Pass& pass, Var x, const BatchNorm::Then& then) const {
    return norm(pass, conv(pass, x, true), then);
  }
};

}  // namespace ebb
