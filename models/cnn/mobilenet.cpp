#include "models/cnn/mobilenet.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/conv_norm.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/pool.h"

namespace ebb {
namespace {

constexpr std::int64_t kStem = 32, kHead = 1280;

struct Stage {
  std::int64_t expansion, channels, blocks, stride;
};
constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 1},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

ConvNorm conv_norm(ParamStore& params, Key key, Site site, const Shape& weight,
                   const ConvConfig& config) {
  const std::string norm_name = site.name + "_bn";
  Tensor initial = lecun_uniform_init(weight, key.fold(site.name));
  return ConvNorm::create(params, std::move(site), norm_name, std::move(initial), config);
}

struct InvertedResidual {
  ConvNorm expand, depthwise, project;
  std::optional<ConvNorm> shortcut;  ///< where the channels change
  bool residual = false;

  static InvertedResidual create(ParamStore& params, Key key, const std::string& name,
                                 std::int64_t in, std::int64_t out, std::int64_t expansion,
                                 std::int64_t stride) {
    const std::int64_t inner = in * expansion;
    const auto part = [&](const char* conv, std::vector<std::string> tags, const Shape& weight,
                          const ConvConfig& config) {
      return conv_norm(params, key, {concat(name, '.', conv), std::move(tags)}, weight, config);
    };
    InvertedResidual block{
        part("expand", {}, {inner, 1, 1, in}, {}),
        part("depthwise", {}, {inner, 3, 3, 1}, {.stride = stride, .pad = 1, .groups = inner}),
        part("project", {}, {out, 1, 1, inner}, {}), std::nullopt, stride == 1};
    if (block.residual && in != out)
      block.shortcut = part("shortcut", {"shortcut"}, {out, 1, 1, in}, {});
    return block;
  }
  Var operator()(Pass& pass, Var x) const {
    const Var inner = depthwise(pass, expand(pass, x, {.relu = true}), {.relu = true});
    if (!residual) return project(pass, inner);
    const Var around = shortcut ? (*shortcut)(pass, x) : x;
    return project(pass, inner, {.add = around});
  }
};

}  // namespace

Classifier make_mobilenet_v2(const Shape& image, int classes, ParamStore& params, Key key) {
  const ConvNorm stem =
      conv_norm(params, key, {"stem", {"first"}}, {kStem, 3, 3, image[2]}, {.pad = 1});
  std::vector<InvertedResidual> blocks;
  std::int64_t in = kStem;
  for (const Stage& stage : kStages) {
    for (std::int64_t i = 0; i < stage.blocks; ++i, in = stage.channels) {
      blocks.push_back(InvertedResidual::create(params, key, concat("block", blocks.size() + 1), in,
                                                stage.channels, stage.expansion,
                                                i == 0 ? stage.stride : 1));
    }
  }
  const ConvNorm head = conv_norm(params, key, "head", {kHead, 1, 1, in}, {});
  Tensor bias = uniform_init({classes}, 1.0 / std::sqrt(static_cast<double>(kHead)),
                             key.fold("classifier bias"));
  const Linear classifier =
      Linear::create(params, {"classifier", {"last"}},
                     lecun_uniform_init({classes, kHead}, key.fold("classifier")), std::move(bias));

  return {"mobilenetv2", image, classes, [=](Pass& pass, Var x) {
            x = stem(pass, x, {.relu = true});
            for (const InvertedResidual& block : blocks) x = block(pass, x);
            return classifier(pass, global_avg_pool(pass, head(pass, x, {.relu = true})));
          }};
}

}  // namespace ebb
