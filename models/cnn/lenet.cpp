#include "models/cnn/lenet.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/conv2d.h"
#include "layers/elementwise.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/pool.h"
#include "layers/shape_ops.h"

namespace ebb {

Classifier make_lenet5(const Shape& image, int classes, ParamStore& params, Key key) {
  const std::int64_t pad = std::min(image[0], image[1]) < 32 ? 2 : 0;
  // conv1 takes 4 pixels off, each pool halves, conv2 takes 4 off.
  const auto left = [&](std::int64_t extent) { return ((extent + 2 * pad - 4) / 2 - 4) / 2; };
  require<ConfigError>(left(image[0]) >= 1 && left(image[1]) >= 1,
                       "[lenet5] images must be at least 12 x 12, got ", image[0], " x ", image[1]);

  const auto conv = [&](std::string name, std::vector<std::string> tags, const Shape& weight,
                        std::int64_t padding) {
    Tensor initial = lecun_uniform_init(weight, key.fold(name));
    return Conv2d::create(params, {std::move(name), std::move(tags)}, std::move(initial),
                          {.pad = padding}, Tensor::zeros({weight[0]}));
  };
  const auto linear = [&](std::string name, std::vector<std::string> tags, std::int64_t in,
                          std::int64_t out) {
    Tensor initial = lecun_uniform_init({out, in}, key.fold(name));
    return Linear::create(params, {std::move(name), std::move(tags)}, std::move(initial),
                          Tensor::zeros({out}));
  };
  const Conv2d conv1 = conv("conv1", {"first"}, {6, 5, 5, image[2]}, pad);
  const Conv2d conv2 = conv("conv2", {}, {16, 5, 5, 6}, 0);
  const Linear fc1 = linear("fc1", {}, left(image[0]) * left(image[1]) * 16, 120);
  const Linear fc2 = linear("fc2", {}, 120, 84);
  const Linear fc3 = linear("fc3", {"last"}, 84, classes);

  return {"lenet5", image, classes, [=](Pass& pass, Var x) {
            // Pooling first, then ReLU: the same values and gradients as the other way round, on a
            // quarter of the elements.
            x = relu(pass, max_pool(pass, conv1(pass, x), {.window = 2, .stride = 2}));
            x = relu(pass, max_pool(pass, conv2(pass, x), {.window = 2, .stride = 2}));
            x = relu(pass, fc1(pass, flatten(pass, x)));
            x = relu(pass, fc2(pass, x));
            return fc3(pass, x);
          }};
}

}  // namespace ebb
