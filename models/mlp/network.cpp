#include "models/mlp/network.h"

#include <utility>

#include "core/error.h"
#include "layers/init.h"
#include "models/sequence_builder.h"

namespace ebb {

Classifier make_mlp(const MlpConfig& config, const Shape& image, int classes, ParamStore& params,
                    Key key) {
  SequenceBuilder net{
      .params = params, .key = key, .init = he_init, .norm = config.norm, .shape = image};
  net.flatten();
  const auto site = [&](std::size_t i) {
    Site here{concat("fc", i), {}};
    if (i == 1) here.tags.emplace_back("first");
    return here;
  };
  std::size_t count = 0;
  for (const std::int64_t width : config.hidden) {
    require<ConfigError>(width >= 1, "[mlp] a hidden layer needs at least one unit, got ", width);
    net.linear(site(++count), width);
    net.relu();
  }
  Site last = site(++count);
  last.tags.emplace_back("last");
  return net.classifier(config.norm ? "mlp-bn" : "mlp", std::move(last), image, classes);
}

}  // namespace ebb
