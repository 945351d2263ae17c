#include "models/mlp/network.h"

#include <utility>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/shape_ops.h"

namespace ebb {

Classifier make_mlp(const MlpConfig& config, const Shape& image, int classes, ParamStore& params,
                    Key key) {
  std::vector<std::int64_t> widths{image.size()};
  for (const std::int64_t width : config.hidden) {
    require<ConfigError>(width >= 1, "[mlp] a hidden layer needs at least one unit, got ", width);
    widths.push_back(width);
  }
  widths.push_back(classes);
  std::vector<Linear> layers;
  for (std::size_t i = 1; i < widths.size(); ++i) {
    Site site{concat("fc", i), {}};
    if (i == 1) site.tags.emplace_back("first");
    if (i + 1 == widths.size()) site.tags.emplace_back("last");
    Tensor weight = he_init({widths[i], widths[i - 1]}, key.fold(site.name));
    layers.push_back(
        Linear::create(params, std::move(site), std::move(weight), Tensor::zeros({widths[i]})));
  }
  return {"mlp", image, classes, [layers = std::move(layers)](Pass& pass, Var x) {
            x = flatten(pass, x);
            for (std::size_t i = 0; i < layers.size(); ++i)
              x = layers[i](pass, i == 0 ? x : relu(pass, x));
            return x;
          }};
}

}  // namespace ebb
