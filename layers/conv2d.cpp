#include "layers/conv2d.h"

#include <utility>

#include "core/error.h"
#include "layers/convolution.h"

namespace ebb {

Conv2d Conv2d::create(ParamStore& params, Site site, Tensor weight, ConvConfig config,
                      std::optional<Tensor> bias) {
  require<ConfigError>(config.stride >= 1 && config.pad >= 0 && config.groups >= 1, "[", site.name,
                       "] expected stride >= 1, pad >= 0 and groups >= 1, got ", config.stride,
                       ", ", config.pad, " and ", config.groups);
  const Shape& w = weight.shape();
  require<ShapeError>(w.rank() == 4 && w.size() > 0, "[", site.name,
                      "] expected weights [out, taps_y, taps_x, in / groups], got ", w);
  require<ConfigError>(w[0] % config.groups == 0, "[", site.name, "] ", w[0],
                       " outputs do not divide into ", config.groups, " groups");
  require<ShapeError>(!bias || bias->shape() == Shape{w[0]}, "[", site.name, "] weights ", w,
                      " need a bias [", w[0], "]");
  Conv2d layer;
  layer.config = config;
  layer.weight = params.add(site.name + ".weight", std::move(weight));
  if (bias) layer.bias = params.add(site.name + ".bias", *std::move(bias));
  layer.input_range = add_running_range(params, site);
  layer.site = std::move(site);
  return layer;
}

Var Conv2d::with(Pass& pass, Var x, Var w) const {
  const Convolution conv(pass, *this, x, w);
  Tensor y = conv.forward();
  return pass.tape.record(std::move(y), conv.inputs(), [conv](const Tensor& g, Adjoints& grads) {
    conv.backward(g, std::nullopt, grads);
  });
}

}  // namespace ebb
