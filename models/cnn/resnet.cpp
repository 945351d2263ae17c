#include "models/cnn/resnet.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "layers/conv_norm.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/pool.h"

namespace ebb {
namespace {

constexpr std::array<std::int64_t, 3> kWidths{16, 32, 64};

/// Makes the convolutions of one block.
struct BlockParts {
  ParamStore& params;
  Key key;
  std::string name;
  bool frozen_norm = false;

  [[nodiscard]] ConvNorm conv(const char* conv, const char* norm, std::vector<std::string> tags,
                              const Shape& weight, const ConvConfig& config) const {
    Site site{concat(name, '.', conv), std::move(tags)};
    Tensor initial = he_fan_out_init(weight, key.fold(site.name));
    ConvNorm layer = ConvNorm::create(params, std::move(site), concat(name, '.', norm),
                                      std::move(initial), config);
    layer.norm.frozen = frozen_norm;
    return layer;
  }
  /// Where the block changes the shape.
  [[nodiscard]] std::optional<ConvNorm> shortcut(std::int64_t in, std::int64_t out,
                                                 std::int64_t stride) const {
    if (stride == 1 && in == out) return std::nullopt;
    return conv("shortcut", "shortcut_bn", {"shortcut"}, {out, 1, 1, in}, {.stride = stride});
  }
};

ConvNorm make_stem(ParamStore& params, Key key, const Shape& weight, const ConvConfig& config) {
  return ConvNorm::create(params, {"stem", {"first"}}, "stem_bn",
                          he_fan_out_init(weight, key.fold("stem")), config);
}

struct BasicBlock {
  ConvNorm first, second;
  std::optional<ConvNorm> shortcut;

  static BasicBlock create(const BlockParts& parts, std::int64_t in, std::int64_t out,
                           std::int64_t stride) {
    BasicBlock block{parts.conv("conv1", "bn1", {}, {out, 3, 3, in}, {.stride = stride, .pad = 1}),
                     parts.conv("conv2", "bn2", {}, {out, 3, 3, out}, {.pad = 1}), std::nullopt};
    block.shortcut = parts.shortcut(in, out, stride);
    return block;
  }
  Var operator()(Pass& pass, Var x) const {
    const Var inner = first(pass, x, {.relu = true});
    const Var around = shortcut ? (*shortcut)(pass, x) : x;
    return second(pass, inner, {.add = around, .relu = true});
  }
};

struct Bottleneck {
  static constexpr std::int64_t kWiden = 4;

  ConvNorm narrow, filter, widen;
  std::optional<ConvNorm> shortcut;

  static Bottleneck create(const BlockParts& parts, std::int64_t in, std::int64_t out,
                           std::int64_t stride) {
    const std::int64_t inner = out / kWiden;
    Bottleneck block{
        parts.conv("conv1", "bn1", {}, {inner, 1, 1, in}, {}),
        parts.conv("conv2", "bn2", {}, {inner, 3, 3, inner}, {.stride = stride, .pad = 1}),
        parts.conv("conv3", "bn3", {}, {out, 1, 1, inner}, {}), std::nullopt};
    block.shortcut = parts.shortcut(in, out, stride);
    return block;
  }
  Var operator()(Pass& pass, Var x) const {
    const Var inner = filter(pass, narrow(pass, x, {.relu = true}), {.relu = true});
    const Var around = shortcut ? (*shortcut)(pass, x) : x;
    return widen(pass, inner, {.add = around, .relu = true});
  }
};

using Block = std::variant<BasicBlock, Bottleneck>;

Var apply(Pass& pass, const std::vector<Block>& blocks, Var x) {
  for (const Block& block : blocks)
    x = std::visit([&](const auto& b) { return b(pass, x); }, block);
  return x;
}

}  // namespace

Classifier make_resnet(int depth, const Shape& image, int classes, ParamStore& params, Key key) {
  require<ConfigError>(depth >= 8 && (depth - 2) % 6 == 0,
                       "[resnet] the depth must be 6 m + 2 (8, 14, 20, ...), got ", depth);
  const int blocks_a_stage = (depth - 2) / 6;
  const ConvNorm stem = make_stem(params, key, {kWidths[0], 3, 3, image[2]}, {.pad = 1});
  std::vector<Block> blocks;
  std::int64_t in = kWidths[0];
  for (std::size_t stage = 0; stage < kWidths.size(); ++stage) {
    for (int i = 0; i < blocks_a_stage; ++i, in = kWidths[stage]) {
      const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      const BlockParts parts{params, key, concat("stage", stage + 1, ".block", i + 1)};
      blocks.emplace_back(BasicBlock::create(parts, in, kWidths[stage], stride));
    }
  }
  Tensor weight = normal_init({classes, in}, std::sqrt(2.0 / static_cast<double>(in * classes)),
                              key.fold("classifier"));
  const Linear classifier =
      Linear::create(params, {"classifier", {"last"}}, std::move(weight), Tensor::zeros({classes}));

  return {concat("resnet", depth), image, classes, [=](Pass& pass, Var x) {
            x = apply(pass, blocks, stem(pass, x, {.relu = true}));
            return classifier(pass, global_avg_pool(pass, x));
          }};
}

TrunkConfig imagenet_trunk(int depth) {
  switch (depth) {
    case 18: return {};
    case 34: return {.blocks = {3, 4, 6, 3}};
    case 50: return {.bottlenecks = true, .blocks = {3, 4, 6, 3}};
    case 101: return {.bottlenecks = true, .blocks = {3, 4, 23, 3}};
    default:
      throw ConfigError(concat("[resnet] expected a depth of 18, 34, 50 or 101, got ", depth));
  }
}

Trunk make_trunk(const TrunkConfig& config, std::int64_t image_channels, ParamStore& params,
                 Key key) {
  const std::int64_t first_width = config.widths[0];
  ConvNorm stem =
      make_stem(params, key, {first_width, 7, 7, image_channels}, {.stride = 2, .pad = 3});
  stem.norm.frozen = config.frozen_norm;
  std::array<std::vector<Block>, 4> stages;
  std::int64_t in = first_width;
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const std::int64_t out = config.channels(stage);
    for (int i = 0; i < config.blocks[stage]; ++i, in = out) {
      const BlockParts parts{params, key, concat("stage", stage + 1, ".block", i + 1),
                             config.frozen_norm};
      const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      stages[stage].push_back(config.bottlenecks
                                  ? Block(Bottleneck::create(parts, in, out, stride))
                                  : Block(BasicBlock::create(parts, in, out, stride)));
    }
  }
  return [=](Pass& pass, Var x) {
    x = max_pool(pass, stem(pass, x, {.relu = true}), {.window = 3, .stride = 2, .pad = 1});
    std::array<Var, 4> results;
    for (std::size_t stage = 0; stage < stages.size(); ++stage)
      results[stage] = x = apply(pass, stages[stage], x);
    return results;
  };
}

Classifier make_imagenet_resnet(int depth, const Shape& image, int classes, ParamStore& params,
                                Key key) {
  const TrunkConfig config = imagenet_trunk(depth);
  const Trunk trunk = make_trunk(config, image[2], params, key);
  const std::int64_t in = config.channels(3);
  const Linear classifier = Linear::create(
      params, {"classifier", {"last"}}, lecun_uniform_init({classes, in}, key.fold("classifier")),
      Tensor::zeros({classes}));

  return {concat("resnet", depth), image, classes, [=](Pass& pass, Var x) {
            return classifier(pass, global_avg_pool(pass, trunk(pass, x)[3]));
          }};
}

}  // namespace ebb
