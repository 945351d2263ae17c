#include "models/transformer/network.h"

#include <optional>
#include <vector>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/init.h"
#include "models/transformer/block.h"

namespace ebb {

train::WindowNetwork make_transformer(const TransformerConfig& config, std::int64_t vocabulary,
                                      ParamStore& params, Key key) {
  require_config(config);
  const bool learned = config.positions == TransformerConfig::Positions::learned;
  const ParamId tokens = params.add(
      "tokens.weight",
      normal_init({vocabulary, config.width}, kTransformerDeviation, key.fold("tokens")));
  ParamId places;
  if (learned)
    places = params.add(
        "positions.weight",
        normal_init({config.length, config.width}, kTransformerDeviation, key.fold("positions")));
  std::vector<TransformerBlock> blocks;
  for (std::int64_t i = 0; i < config.layers; ++i)
    blocks.push_back(TransformerBlock::create(params, key, concat("block", i), config, true));
  const LayerNorm last = LayerNorm::create(params, "last_norm", config.width);
  Linear head{.site = {"head", {"last"}}, .weight = tokens, .bias = {}, .input_range = {}};
  if (config.tied) {
    head.input_range = add_running_range(params, head.site);
  } else {
    head = Linear::create(
        params, head.site,
        normal_init({vocabulary, config.width}, kTransformerDeviation, key.fold("head")),
        std::nullopt);
  }

  return [=](Pass& pass, std::span<const std::int32_t> ids, std::int64_t rows) {
    const std::vector<std::int64_t> lengths =
        equal_lengths(static_cast<std::int64_t>(ids.size()), rows);
    require<ShapeError>(lengths[0] <= config.length, "[transformer] a window of ", lengths[0],
                        " tokens is longer than ", config.length);
    Var x = embedding(pass, tokens, ids);
    if (learned) x = add(pass, x, embedding(pass, places, places_of(lengths)));
    x = dropout(pass, x, config.dropout, "tokens");
    for (const TransformerBlock& block : blocks) x = block(pass, x, lengths, config);
    return head(pass, last(pass, x));
  };
}

}  // namespace ebb
