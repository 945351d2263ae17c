#include "models/transformer/network.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/activations.h"
#include "layers/attention.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/init.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"

namespace ebb {
namespace {

using Config = TransformerConfig;
constexpr double kDeviation = 0.02;

Linear linear(ParamStore& params, Key key, const std::string& name, std::int64_t out, std::int64_t in, double deviation) {
  return Linear::create(params, {name, {}}, normal_init({out, in}, deviation, key.fold(name)), Tensor::zeros({out}));
}

struct Block {
  std::string name;
  LayerNorm before_attention, before_mlp;
  Linear input, output, up, down;
  Attention attention;

  static Block create(ParamStore& params, Key key, const std::string& name, const Config& config) {
    const std::int64_t width = config.width, inner = config.inner > 0 ? config.inner : 4 * width;
    const std::int64_t halves = config.activation == Config::Activation::swiglu ? 2 : 1;
    const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(config.layers));
    Block block;
    block.name = name;
    block.before_attention = LayerNorm::create(params, name + ".attention_norm", width);
    block.input = linear(params, key, name + ".attention.input", 3 * width, width, kDeviation);
    block.attention = Attention::create(name + ".attention", config.heads, true);
    block.output = linear(params, key, name + ".attention.output", width, width, residual);
    block.before_mlp = LayerNorm::create(params, name + ".mlp_norm", width);
    block.up = linear(params, key, name + ".mlp.up", halves * inner, width, kDeviation);
    block.down = linear(params, key, name + ".mlp.down", width, inner, residual);
    return block;
  }

  Var operator()(Pass& pass, Var x, std::int64_t rows, const Config& config) const {
    Var qkv = input(pass, before_attention(pass, x));
    if (config.positions == Config::Positions::rotary) qkv = rotary(pass, qkv, rows, config.heads);
    const Var attended = output(pass, attention(pass, qkv, rows));
    x = add(pass, x, dropout(pass, attended, config.dropout, name + ".attention"));
    const Var inner = up(pass, before_mlp(pass, x));
    const Var fed = down(pass, config.activation == Config::Activation::gelu ? gelu(pass, inner) : swiglu(pass, inner));
    return add(pass, x, dropout(pass, fed, config.dropout, name + ".mlp"));
  }
};

void require_config(const Config& config) {
  require<ConfigError>(config.layers >= 1 && config.heads >= 1 && config.length >= 1 && config.inner >= 0,
                       "[transformer] expected layers, heads and length of 1 and more, got ", config.layers, ", ", config.heads,
                       " and ", config.length);
  require<ConfigError>(config.width >= 1 && config.width % config.heads == 0, "[transformer] a width of ", config.width, " is not ",
                       config.heads, " equal heads");
  require<ConfigError>(config.positions != Config::Positions::rotary || config.width / config.heads % 2 == 0,
                       "[transformer] rotary positions turn pairs: ", config.width / config.heads, " elements a head are odd");
  require<ConfigError>(config.dropout >= 0 && config.dropout < 1, "[transformer] expected a dropout of 0 to below 1, got ",
                       config.dropout);
}

}  // namespace

train::WindowNetwork make_transformer(const TransformerConfig& config, std::int64_t vocabulary, ParamStore& params, Key key) {
  require_config(config);
  const bool learned = config.positions == Config::Positions::learned;
  const ParamId tokens = params.add("tokens.weight", normal_init({vocabulary, config.width}, kDeviation, key.fold("tokens")));
  ParamId places;
  if (learned)
    places = params.add("positions.weight", normal_init({config.length, config.width}, kDeviation, key.fold("positions")));
  std::vector<Block> blocks;
  for (std::int64_t i = 0; i < config.layers; ++i) blocks.push_back(Block::create(params, key, concat("block", i), config));
  const LayerNorm last = LayerNorm::create(params, "last_norm", config.width);
  Linear head{.site = {"head", {"last"}}, .weight = tokens, .bias = {}, .input_range = {}};
  if (config.tied) {
    head.input_range = add_running_range(params, head.site);
  } else {
    head = Linear::create(params, head.site, normal_init({vocabulary, config.width}, kDeviation, key.fold("head")), std::nullopt);
  }

  return [=](Pass& pass, std::span<const std::int32_t> ids, std::int64_t rows) {
    const auto length = static_cast<std::int64_t>(ids.size()) / rows;
    require<ShapeError>(length <= config.length, "[transformer] a window of ", length, " tokens is longer than ", config.length);
    Var x = embedding(pass, tokens, ids);
    if (learned) {
      std::vector<std::int32_t> at(ids.size());
      for (std::size_t i = 0; i < at.size(); ++i) at[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % length);
      x = add(pass, x, embedding(pass, places, at));
    }
    x = dropout(pass, x, config.dropout, "tokens");
    for (const Block& block : blocks) x = block(pass, x, rows, config);
    return head(pass, last(pass, x));
  };
}

}  // namespace ebb
