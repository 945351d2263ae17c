#include "models/transformer/block.h"

#include <cmath>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "layers/activations.h"
#include "layers/elementwise.h"
#include "layers/init.h"

namespace ebb {
namespace {

using Config = TransformerConfig;

Linear linear(ParamStore& params, Key key, const std::string& name, std::int64_t out,
              std::int64_t in, double deviation) {
  return Linear::create(params, {name, {}}, normal_init({out, in}, deviation, key.fold(name)),
                        Tensor::zeros({out}));
}

}  // namespace

TransformerBlock TransformerBlock::create(ParamStore& params, Key key, const std::string& name,
                                          const Config& config, bool causal) {
  const std::int64_t width = config.width,
                     inner = config.inner > 0
                                 ? config.inner
                                 : checked_mul(4, width, "[transformer] inner width, 4 x --width");
  const std::int64_t halves = config.activation == Config::Activation::swiglu ? 2 : 1;
  const double residual =
      kTransformerDeviation / std::sqrt(2.0 * static_cast<double>(config.layers));
  TransformerBlock block;
  block.name = name;
  block.before_attention = LayerNorm::create(params, name + ".attention_norm", width);
  block.input =
      linear(params, key, name + ".attention.input", 3 * width, width, kTransformerDeviation);
  block.attention = Attention::create(name + ".attention", config.heads, causal);
  block.output = linear(params, key, name + ".attention.output", width, width, residual);
  block.before_mlp = LayerNorm::create(params, name + ".mlp_norm", width);
  block.up =
      linear(params, key, name + ".mlp.up", checked_mul(halves, inner, "[transformer] products up"),
             width, kTransformerDeviation);
  block.down = linear(params, key, name + ".mlp.down", width, inner, residual);
  return block;
}

Var TransformerBlock::operator()(Pass& pass, Var x, std::span<const std::int64_t> lengths,
                                 const Config& config) const {
  Var qkv = input(pass, before_attention(pass, x));
  if (config.positions == Config::Positions::rotary)
    qkv = rotary(pass, qkv, lengths, config.heads, config.rope_theta);
  const Var attended = output(pass, attention(pass, qkv, lengths));
  x = add(pass, x, dropout(pass, attended, config.dropout, name + ".attention"));
  const Var inner = up(pass, before_mlp(pass, x));
  const Var fed = down(pass, config.activation == Config::Activation::gelu ? gelu(pass, inner)
                                                                           : swiglu(pass, inner));
  return add(pass, x, dropout(pass, fed, config.dropout, name + ".mlp"));
}

void require_config(const Config& config) {
  require<ConfigError>(
      config.layers >= 1 && config.heads >= 1 && config.length >= 1 && config.inner >= 0,
      "[transformer] expected layers, heads and length of 1 and more, got ", config.layers, ", ",
      config.heads, " and ", config.length);
  require<ConfigError>(config.width >= 1 && config.width % config.heads == 0,
                       "[transformer] a width of ", config.width, " is not ", config.heads,
                       " equal heads");
  require<ConfigError>(
      config.positions != Config::Positions::rotary || config.width / config.heads % 2 == 0,
      "[transformer] rotary positions turn pairs: ", config.width / config.heads,
      " elements per head are odd");
  require<ConfigError>(config.dropout >= 0 && config.dropout < 1,
                       "[transformer] expected a dropout of 0 to below 1, got ",
                       static_cast<double>(config.dropout));
}

std::vector<std::int32_t> places_of(std::span<const std::int64_t> lengths) {
  std::vector<std::int32_t> places;
  for (const std::int64_t n : lengths) {
    for (std::int64_t t = 0; t < n; ++t) places.push_back(static_cast<std::int32_t>(t));
  }
  return places;
}

}  // namespace ebb
