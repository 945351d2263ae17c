#pragma once

#include <cstdint>
#include <span>

#include "core/key.h"

namespace ebb::train {

/// How the next token is chosen from a language model's logits.
struct Sampling {
  double temperature = 1;  ///< divides the logits; 0: the most likely token, without a draw
  std::int64_t top_k =
      0;  ///< only this many of the most likely tokens are drawn from; 0: all of them
};

/// The id of the next token: i with probability proportional to w_i = exp((logit_i - largest) /
/// temperature) among the top_k largest logits, of equal ones those of lower ids. Differences,
/// quotients, w and sums are doubles; the sums run over ascending ids, and the token is the first
/// whose running sum exceeds u times the whole, u = key.uniform(place). So it depends on nothing
/// but the arguments. Top-k: Fan, Lewis, Dauphin, "Hierarchical neural story generation", 2018.
/// @throws ShapeError without logits; ConfigError unless temperature is finite and at least 0, and
/// top_k at least 0; NonFiniteError for a logit that is not finite
std::int32_t sample_token(std::span<const float> logits, const Sampling& sampling, Key key,
                          std::uint64_t place);

}  // namespace ebb::train
