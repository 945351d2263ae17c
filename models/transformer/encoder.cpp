#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/graph.h"
#include "layers/init.h"
#include "models/transformer/block.h"

namespace ebb {
namespace {

/// Everything of an encoder but its ends.
struct Encoder {
  TransformerConfig config;
  ParamId tokens, places, segments;  ///< places has index -1 with rotary positions
  std::vector<TransformerBlock> blocks;
  LayerNorm last;
  std::optional<Linear> pooler;
  Linear head;  ///< of classes or words

  Var operator()(Pass& pass, const PackedRows& rows, std::span<const std::int64_t> at) const {
    Var x =
        add(pass, embedding(pass, tokens, rows.tokens), embedding(pass, segments, rows.segments));
    if (places.index >= 0) x = add(pass, x, embedding(pass, places, places_of(rows.lengths)));
    x = dropout(pass, x, config.dropout, "tokens");
    for (const TransformerBlock& block : blocks) x = block(pass, x, rows.lengths, config);
    x = last(pass, select_rows(pass, x, at));
    if (pooler) x = dropout(pass, tanh(pass, (*pooler)(pass, x)), config.dropout, "pooler");
    return head(pass, x);
  }
};

}  // namespace

train::PairNetwork make_encoder(const TransformerConfig& config, std::int64_t tokens,
                                EncoderHead head, std::int64_t outputs, ParamStore& params,
                                Key key) {
  require_config(config);
  const auto normal = [&](const char* name, std::int64_t rows, std::int64_t cols) {
    return normal_init({rows, cols}, kTransformerDeviation, key.fold(name));
  };
  const auto encoder = std::make_shared<Encoder>();
  encoder->config = config;
  encoder->tokens = params.add("tokens.weight", normal("tokens", tokens, config.width));
  if (config.positions == TransformerConfig::Positions::learned)
    encoder->places =
        params.add("positions.weight", normal("positions", config.length, config.width));
  encoder->segments = params.add("segments.weight", normal("segments", 2, config.width));
  for (std::int64_t i = 0; i < config.layers; ++i)
    encoder->blocks.push_back(
        TransformerBlock::create(params, key, concat("block", i), config, false));
  encoder->last = LayerNorm::create(params, "last_norm", config.width);
  if (head == EncoderHead::classes) {
    encoder->pooler = Linear::create(params, "pooler", normal("pooler", config.width, config.width),
                                     Tensor::zeros({config.width}));
    encoder->head =
        Linear::create(params, {"classifier", {"last"}},
                       normal("classifier", outputs, config.width), Tensor::zeros({outputs}));
  } else {
    encoder->head =
        Linear::create(params, {"words", {"last"}}, normal("words", outputs, config.width),
                       Tensor::zeros({outputs}));
  }
  return [encoder](Pass& pass, const PackedRows& rows, std::span<const std::int64_t> at) {
    return (*encoder)(pass, rows, at);
  };
}

}  // namespace ebb
