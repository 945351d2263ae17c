#include "models/cnn/resnet.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/pool.h"

namespace ebb {
namespace {

constexpr std::array<std::int64_t, 3> kWidths{16, 32, 64};

struct ConvNorm {
  Conv2d conv;
  BatchNorm norm;

  static ConvNorm create(ParamStore& params, Key key, Site site, const std::string& norm_name, const Shape& weight,
                         const ConvConfig& config) {
    Tensor initial = he_fan_out_init(weight, key.fold(site.name));
    Conv2d conv = Conv2d::create(params, std::move(site), std::move(initial), config);
    return {std::move(conv), BatchNorm::create(params, norm_name, weight[0])};
  }
  Var operator()(Pass& pass, Var x, const BatchNorm::Then& then) const { return norm(pass, conv(pass, x, true), then); }
};

struct BasicBlock {
  ConvNorm first, second;
  std::optional<ConvNorm> shortcut;  ///< where the shape changes

  static BasicBlock create(ParamStore& params, Key key, const std::string& name, std::int64_t in, std::int64_t out,
                           std::int64_t stride) {
    const auto part = [&](const char* conv, const char* norm, std::vector<std::string> tags, const Shape& weight,
                          const ConvConfig& config) {
      return ConvNorm::create(params, key, {concat(name, '.', conv), std::move(tags)}, concat(name, '.', norm), weight, config);
    };
    BasicBlock block{part("conv1", "bn1", {}, {out, 3, 3, in}, {.stride = stride, .pad = 1}),
                     part("conv2", "bn2", {}, {out, 3, 3, out}, {.pad = 1}), std::nullopt};
    if (stride != 1 || in != out)
      block.shortcut = part("shortcut", "shortcut_bn", {"shortcut"}, {out, 1, 1, in}, {.stride = stride});
    return block;
  }
  Var operator()(Pass& pass, Var x) const {
    const Var inner = first(pass, x, {.relu = true});
    const Var around = shortcut ? (*shortcut)(pass, x, {}) : x;
    return second(pass, inner, {.add = around, .last_reader = true, .relu = true});
  }
};

}  // namespace

Classifier make_resnet(int depth, const Shape& image, int classes, ParamStore& params, Key key) {
  require<ConfigError>(depth >= 8 && (depth - 2) % 6 == 0, "[resnet] the depth must be 6 m + 2 (8, 14, 20, ...), got ", depth);
  const int blocks_a_stage = (depth - 2) / 6;
  const ConvNorm stem = ConvNorm::create(params, key, {"stem", {"first"}}, "stem_bn", {kWidths[0], 3, 3, image[2]}, {.pad = 1});
  std::vector<BasicBlock> blocks;
  std::int64_t in = kWidths[0];
  for (std::size_t stage = 0; stage < kWidths.size(); ++stage) {
    for (int i = 0; i < blocks_a_stage; ++i, in = kWidths[stage]) {
      const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      blocks.push_back(BasicBlock::create(params, key, concat("stage", stage + 1, ".block", i + 1), in, kWidths[stage], stride));
    }
  }
  Tensor weight = normal_init({classes, in}, std::sqrt(2.0 / static_cast<double>(in * classes)), key.fold("classifier"));
  const Linear classifier = Linear::create(params, {"classifier", {"last"}}, std::move(weight), Tensor::zeros({classes}));

  return {concat("resnet", depth), image, classes, [=](Pass& pass, Var x) {
            x = stem(pass, x, {.relu = true});
            for (const BasicBlock& block : blocks) x = block(pass, x);
            return classifier(pass, global_avg_pool(pass, x));
          }};
}

}  // namespace ebb
