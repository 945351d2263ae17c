#include "models/cnn/lenet.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "layers/init.h"
#include "models/sequence_builder.h"

namespace ebb {

Classifier make_lenet5(const Shape& image, int classes, ParamStore& params, Key key, bool norm) {
  const std::int64_t pad = std::min(image[0], image[1]) < 32 ? 2 : 0;
  // conv1 takes 4 pixels off, each pool halves, conv2 takes 4 off.
  const auto left = [&](std::int64_t extent) { return ((extent + 2 * pad - 4) / 2 - 4) / 2; };
  require<ConfigError>(left(image[0]) >= 1 && left(image[1]) >= 1,
                       "[lenet5] images must be at least 12 x 12, got ", image[0], " x ", image[1]);
  SequenceBuilder net{
      .params = params, .key = key, .init = lecun_uniform_init, .norm = norm, .shape = image};
  // Pooling first, then ReLU: the same values and gradients as the other way round, on a quarter of
  // the elements.
  net.conv({"conv1", {"first"}}, 6, 5, {.pad = pad});
  net.max_pool(2);
  net.relu();
  net.conv({"conv2"}, 16, 5);
  net.max_pool(2);
  net.relu();
  net.flatten();
  net.linear({"fc1"}, 120);
  net.relu();
  net.linear({"fc2"}, 84);
  net.relu();
  return net.classifier(norm ? "lenet5-bn" : "lenet5", {"fc3", {"last"}}, image, classes);
}

Classifier make_cnn_small(const Shape& image, int classes, ParamStore& params, Key key) {
  require<ConfigError>(std::min(image[0], image[1]) >= 10,
                       "[cnn-small] images must be at least 10 x 10, got ", image[0], " x ",
                       image[1]);
  SequenceBuilder net{
      .params = params, .key = key, .init = lecun_uniform_init, .norm = true, .shape = image};
  net.conv({"conv1", {"first"}}, 16, 4, {.stride = 2});
  net.relu();
  net.conv({"conv2"}, 32, 4);
  net.relu();
  net.flatten();
  net.linear({"fc1"}, 100);
  net.relu();
  return net.classifier("cnn-small", {"fc2", {"last"}}, image, classes);
}

Classifier make_cnn7(const Shape& image, int classes, ParamStore& params, Key key) {
  SequenceBuilder net{
      .params = params, .key = key, .init = lecun_uniform_init, .norm = true, .shape = image};
  const auto conv = [&](Site site, std::int64_t out, std::int64_t stride) {
    net.conv(std::move(site), out, 3, {.stride = stride, .pad = 1});
    net.relu();
  };
  conv({"conv1", {"first"}}, 64, 1);
  conv({"conv2"}, 64, 1);
  conv({"conv3"}, 128, 2);
  conv({"conv4"}, 128, 1);
  conv({"conv5"}, 128, 1);
  net.flatten();
  net.linear({"fc1"}, 512);
  net.relu();
  return net.classifier("cnn7", {"fc2", {"last"}}, image, classes);
}

}  // namespace ebb
