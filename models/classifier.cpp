#include "models/classifier.h"

#include <algorithm>

#include "core/error.h"
#include "models/cnn/lenet.h"
#include "models/cnn/mobilenet.h"
#include "models/cnn/resnet.h"
#include "models/mlp/network.h"

namespace ebb {

const std::vector<std::string>& known_architectures() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list{"mlp", "mlp-bn", "lenet5", "lenet5-bn", "cnn-small", "cnn7"};
    for (const int depth : kResNetDepths) list.push_back(concat("resnet", depth));
    list.emplace_back("mobilenetv2");
    for (const int depth : kImageNetDepths) list.push_back(concat("resnet", depth));
    return list;
  }();
  return names;
}

Classifier make_classifier(std::string_view architecture, const Shape& image, int classes,
                           ParamStore& params, Key key) {
  const auto& known = known_architectures();
  require<ConfigError>(std::find(known.begin(), known.end(), architecture) != known.end(),
                       "[classifier] ", unknown_word("architecture", architecture, known));
  require<ConfigError>(classes >= 2, "[", architecture, "] expected at least 2 classes, got ",
                       classes);
  require<ConfigError>(image.rank() == 3 && image.size() > 0, "[", architecture,
                       "] expected images [height, width, channels], got ", image);
  if (architecture == "mlp") return make_mlp({}, image, classes, params, key);
  if (architecture == "mlp-bn") return make_mlp({.norm = true}, image, classes, params, key);
  if (architecture == "lenet5" || architecture == "lenet5-bn")
    return make_lenet5(image, classes, params, key, architecture == "lenet5-bn");
  if (architecture == "cnn-small") return make_cnn_small(image, classes, params, key);
  if (architecture == "cnn7") return make_cnn7(image, classes, params, key);
  if (architecture == "mobilenetv2") return make_mobilenet_v2(image, classes, params, key);
  const auto is_meant = [&](int depth) { return concat("resnet", depth) == architecture; };
  const auto small = std::find_if(kResNetDepths.begin(), kResNetDepths.end(), is_meant);
  if (small != kResNetDepths.end()) return make_resnet(*small, image, classes, params, key);
  const auto large = std::find_if(kImageNetDepths.begin(), kImageNetDepths.end(), is_meant);
  return make_imagenet_resnet(*large, image, classes, params, key);
}

}  // namespace ebb
