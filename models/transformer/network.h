#pragma once

#include <cstdint>

#include "core/key.h"
#include "core/params.h"
#include "core/setting.h"
#include "train/tasks/pairs.h"
#include "train/tasks/text.h"

namespace ebb {

struct TransformerConfig {
  enum class Positions : std::uint8_t { learned, rotary };
  enum class Activation : std::uint8_t { gelu, swiglu };

  std::int64_t layers = 4, width = 128, heads = 4;
  std::int64_t inner = 0;     ///< width inside the feed-forward part; 0: 4 width
  std::int64_t length = 128;  ///< most tokens of a window or row
  Positions positions = Positions::learned;
  Activation activation = Activation::gelu;
  bool tied = false;           ///< the decoder's head has the weights of the token embedding
  Setting dropout = 0;         ///< of the embedded tokens and of what each part of a block adds
  Setting rope_theta = 10000;  ///< base of the angles of rotary positions
};

/// A pre-norm decoder: x += attention(norm(x)), x += down(act(up(norm(x)))) by block, a last norm,
/// a head without bias. Sites `block0.attention.input`, `.qk`, `.av`, `.output`, `block0.mlp.up`,
/// `.down`, ..., `head` (tag last). Weights start as N(0, 0.02), those that write to the residual
/// stream divided by sqrt(2 layers), biases at zero. Sources: Vaswani et al., 2017; Radford et al.,
/// "Language models are unsupervised multitask learners", 2019.
/// @throws ConfigError unless layers, heads, length >= 1, heads divide width (into even parts for
/// rotary positions), inner >= 0 and 0 <= dropout < 1
train::WindowNetwork make_transformer(const TransformerConfig& config, std::int64_t vocabulary,
                                      ParamStore& params, Key key);

enum class EncoderHead : std::uint8_t { classes, words };

/// The same blocks without the mask of causality: every token sees its whole row. Token, segment
/// and (learned) place embeddings are added; what leaves the last block is normed at the chosen
/// tokens only. Classes: a pooler of tanh and a classifier; words: a linear layer. Sites as above,
/// `pooler`, and `classifier` or `words` (tag last), all with biases. Weights start as above, those
/// of the ends as N(0, 0.02). `tokens`: entries of the token embedding; `outputs`: classes or
/// words. The store must outlive the result. Source: Devlin et al., "BERT", NAACL 2019, whose norms
/// come after the sums.
/// @throws ConfigError as make_transformer
train::PairNetwork make_encoder(const TransformerConfig& config, std::int64_t tokens,
                                EncoderHead head, std::int64_t outputs, ParamStore& params,
                                Key key);

}  // namespace ebb
