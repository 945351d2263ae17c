#include "models/cnn/conv_norm.h"

#include <utility>

namespace ebb {

ConvNorm ConvNorm::create(ParamStore& params, Site site, const std::string& norm_name,
                          Tensor weight, const ConvConfig& config) {
  const std::int64_t channels = weight.shape()[0];
  Conv2d conv = Conv2d::create(params, std::move(site), std::move(weight), config);
  return {std::move(conv), BatchNorm::create(params, norm_name, channels)};
}

}  // namespace ebb
