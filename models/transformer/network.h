#pragma once

#include <cstdint>

#include "core/key.h"
#include "core/params.h"
#include "train/text.h"

namespace ebb {

struct TransformerConfig {
  enum class Positions : std::uint8_t { learned, rotary };
  enum class Activation : std::uint8_t { gelu, swiglu };

  std::int64_t layers = 4, width = 128, heads = 4;
  std::int64_t inner = 0;     ///< width inside the feed-forward part; 0: 4 width
  std::int64_t length = 128;  ///< most tokens of a window
  Positions positions = Positions::learned;
  Activation activation = Activation::gelu;
  bool tied = false;   ///< the head's weights are the token embedding
  double dropout = 0;  ///< of the embedded tokens and of what each part of a block adds
};

/// A pre-norm decoder: x += attention(norm(x)), x += down(act(up(norm(x)))) by block, a last norm, a head without bias. Sites
/// `block0.attention.input`, `.qk`, `.av`, `.output`, `block0.mlp.up`, `.down`, ..., `head` (tag last). Weights start as
/// N(0, 0.02), those that write to the residual stream divided by sqrt(2 layers), biases at zero. Sources: Vaswani et al., 2017;
/// Radford et al., "Language models are unsupervised multitask learners", 2019.
/// @throws ConfigError unless layers, heads, length >= 1, heads divide width (into even parts for rotary positions), inner >= 0
/// and 0 <= dropout < 1
train::WindowNetwork make_transformer(const TransformerConfig& config, std::int64_t vocabulary, ParamStore& params, Key key);

}  // namespace ebb
