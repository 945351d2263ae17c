#include "models/detect/network.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"
#include "layers/conv2d.h"
#include "layers/elementwise.h"
#include "layers/init.h"
#include "layers/shape_ops.h"
#include "layers/upsample.h"

namespace ebb {
namespace {

constexpr double kPrior = 0.01;  ///< probability of every class at first

/// Makes convolutions with a bias.
struct Parts {
  ParamStore& params;
  Key key;

  [[nodiscard]] Conv2d conv(Site site, const Shape& weight, double deviation, std::int64_t stride,
                            float bias = 0.0f) const {
    const Key of_site = key.fold(site.name);
    return Conv2d::create(params, std::move(site), normal_init(weight, deviation, of_site),
                          {.stride = stride, .pad = weight[1] / 2},
                          Tensor::filled({weight[0]}, bias));
  }
  /// One that no ReLU follows.
  [[nodiscard]] Conv2d linear(const std::string& name, std::int64_t out, std::int64_t taps,
                              std::int64_t in, std::int64_t stride = 1) const {
    return conv({name}, {out, taps, taps, in},
                1.0 / std::sqrt(static_cast<double>(taps * taps * in)), stride);
  }
};

/// x as large as y, of whose sides its own are half, rounded up.
Var upsample_to(Pass& pass, Var x, Var y) {
  const Shape size = pass.tape.shape(y);
  x = upsample_nearest(pass, x);
  for (const int axis : {1, 2}) {
    if (pass.tape.shape(x)[axis] != size[axis]) x = slice(pass, x, axis, 0, size[axis]);
  }
  return x;
}

struct Pyramid {
  std::vector<Conv2d> lateral, output;  ///< from the finest level on
  std::vector<Conv2d> extra;

  static Pyramid create(const Parts& parts, const RetinaNetConfig& config) {
    Pyramid pyramid;
    for (std::size_t stage = 1; stage < 4; ++stage) {
      const std::size_t level = stage + 2;
      pyramid.lateral.push_back(parts.linear(concat("fpn.lateral", level), config.width, 1,
                                             config.trunk.channels(stage)));
      pyramid.output.push_back(
          parts.linear(concat("fpn.output", level), config.width, 3, config.width));
    }
    if (config.extra) {
      pyramid.extra.push_back(
          parts.linear("fpn.level6", config.width, 3, config.trunk.channels(3), 2));
      pyramid.extra.push_back(parts.linear("fpn.level7", config.width, 3, config.width, 2));
    }
    return pyramid;
  }
  std::vector<Var> operator()(Pass& pass, const std::array<Var, 4>& stages) const {
    std::vector<Var> levels(lateral.size());
    for (std::size_t i = levels.size(); i-- > 0;) {
      levels[i] = lateral[i](pass, stages[i + 1]);
      if (i + 1 < levels.size())
        levels[i] = add(pass, levels[i], upsample_to(pass, levels[i + 1], levels[i]));
    }
    for (std::size_t i = 0; i < levels.size(); ++i) levels[i] = output[i](pass, levels[i]);
    for (std::size_t i = 0; i < extra.size(); ++i)
      levels.push_back(extra[i](pass, i == 0 ? stages[3] : relu(pass, levels.back())));
    return levels;
  }
};

struct Head {
  std::vector<Conv2d> convs;
  std::int64_t columns;  ///< numbers for an anchor

  static Head create(const Parts& parts, const std::string& name, const RetinaNetConfig& config,
                     std::int64_t columns, float bias) {
    Head head{{}, columns};
    const Shape inner{config.width, 3, 3, config.width};
    for (int i = 0; i < config.head_convs; ++i)
      head.convs.push_back(parts.conv({concat(name, ".conv", i + 1)}, inner,
                                      std::sqrt(2.0 / static_cast<double>(9 * config.width)), 1));
    head.convs.push_back(parts.conv({name + ".output", {"last"}},
                                    {kAnchorsAPlace * columns, 3, 3, config.width}, 0.01, 1, bias));
    return head;
  }
  /// [batch, anchors, columns] of a level [batch, height, width, channels].
  Var operator()(Pass& pass, Var x) const {
    for (std::size_t i = 0; i < convs.size(); ++i) {
      if (i > 0) x = relu(pass, x);
      x = convs[i](pass, x);
    }
    const Shape shape = pass.tape.shape(x);
    return reshape(pass, x, {shape[0], shape.size() / shape[0] / columns, columns});
  }
};

}  // namespace

RetinaNetConfig retinanet_config(std::string_view arch) {
  if (arch == "tiny")
    return {.trunk = {.blocks = {1, 1, 1, 1}, .widths = {16, 32, 64, 128}},
            .width = 64,
            .head_convs = 2,
            .anchors = {.strides = {8, 16, 32}},
            .extra = false};
  for (const int depth : kImageNetDepths) {
    if (concat("retinanet-r", depth) == arch) return {.trunk = imagenet_trunk(depth)};
  }
  throw ConfigError(
      concat("[retinanet] expected retinanet-r18, retinanet-r34, retinanet-r50, "
             "retinanet-r101 or tiny, got '",
             arch, "'"));
}

train::DetectionNetwork make_retinanet(const RetinaNetConfig& config, int classes,
                                       ParamStore& params, Key key) {
  require<ConfigError>(classes >= 1, "[retinanet] expected at least 1 class, got ", classes);
  constexpr std::int64_t kChannels = 3, kNumbersOfABox = 4;
  const Trunk trunk = make_trunk(config.trunk, kChannels, params, key);
  const Parts parts{params, key};
  const Pyramid pyramid = Pyramid::create(parts, config);
  const auto bias = static_cast<float>(-math::log((1.0 - kPrior) / kPrior));
  const std::array heads{Head::create(parts, "head.class", config, classes, bias),
                         Head::create(parts, "head.box", config, kNumbersOfABox, 0.0f)};
  const auto forward = [=, by_level = config.ranges_by_level](
                           Pass& pass, Var images) -> train::DetectionNetwork::Output {
    std::array<std::vector<Var>, 2> results;
    for (const Var level : pyramid(pass, trunk(pass, images))) {
      std::vector<Effects::InputRange> earlier;  // that this level's are not to widen
      if (by_level) std::swap(earlier, pass.effects.ranges);
      for (std::size_t i = 0; i < heads.size(); ++i) results[i].push_back(heads[i](pass, level));
      if (by_level)
        pass.effects.ranges.insert(pass.effects.ranges.begin(), earlier.begin(), earlier.end());
    }
    return {cat(pass, results[0], 1), cat(pass, results[1], 1)};
  };
  return {.classes = classes, .anchors = config.anchors, .forward = forward};
}

}  // namespace ebb
