#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layers/attention.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"
#include "models/transformer/network.h"

namespace ebb {

/// What decoder and encoder are made of: x += attention(norm(x)), x += down(act(up(norm(x)))).
/// Sites `NAME.attention.input`, `.qk`,
/// `.av`, `.output`, `NAME.mlp.up`, `.down`.
struct TransformerBlock {
  std::string name;
  LayerNorm before_attention, before_mlp;
  Linear input, output, up, down;
  Attention attention;

  static TransformerBlock create(ParamStore& params, Key key, const std::string& name,
                                 const TransformerConfig& config, bool causal);

  /// x [tokens, width] of rows of these lengths, one after the other.
  Var operator()(Pass& pass, Var x, std::span<const std::int64_t> lengths,
                 const TransformerConfig& config) const;
};

/// Standard deviation of initial weights.
inline constexpr double kTransformerDeviation = 0.02;

/// @throws ConfigError as make_transformer
void require_config(const TransformerConfig& config);

/// The place of every token in its row: 0, 1, .. n_0 - 1, 0, 1, ...
std::vector<std::int32_t> places_of(std::span<const std::int64_t> lengths);

}  // namespace ebb
