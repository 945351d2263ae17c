#pragma once

#include <cstdint>
#include <string>

#include "layers/pass.h"

namespace ebb {

/// Scaled dot-product attention of several heads. qkv [rows * length, 3 width] holds query, key and value of every token, each of
/// `heads` parts of width / heads = d elements; the result is [rows * length, width].
///
///   S = Q K^T per row and head at the site `NAME.qk`,  P = softmax(S / sqrt(d)) by row, in float32,  Y = P V at `NAME.av`
///
/// With `causal`, token t sees tokens 0 .. t; the other probabilities are 0, but their products are computed and charged. Queries
/// and probabilities are encoded as activations, keys and values as weights (they stand where weights stand in the three products
/// of training): Q, K, V and the gradients on one grid each, P on one grid a row for Y and on one grid for the gradient of V. All
/// over their own ranges, in evaluation too.
/// @throws ShapeError unless qkv is [rows * length, 3 width] with heads dividing width
struct Attention {
  Site scores, values;
  std::int64_t heads = 1;
  bool causal = true;

  static Attention create(const std::string& name, std::int64_t heads, bool causal);
  Var operator()(Pass& pass, Var qkv, std::int64_t rows) const;
};

/// Rotates the queries and keys of qkv by their token's place t: of every head, elements 2i and 2i+1 by the angle
/// t 10000^(-2i/d), so that scores depend on distances. Source: Su et al., "RoFormer", 2021.
/// @throws ShapeError as Attention, or for an odd d
Var rotary(Pass& pass, Var qkv, std::int64_t rows, std::int64_t heads);

}  // namespace ebb
