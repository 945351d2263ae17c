#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layers/pass.h"

namespace ebb {

/// Scaled dot-product attention of several heads. Sequences of n_0, n_1, ... tokens lie one
/// after the other, without padding: qkv [sum of n_i, 3 width] holds query, key and value of every
/// token, each as `heads` parts of d = width / heads elements; the result is [sum of n_i, width].
///
/// | S = Q K^T for each sequence and head, at the site `NAME.qk`
/// | P = softmax(S / sqrt(d)) by row, in float32
/// | Y = P V, at the site `NAME.av`
///
/// With `causal`, token t sees tokens 0 .. t of its sequence; the other probabilities are 0. Its
/// products are cut into strips of 64 tokens: what comes after a strip is neither multiplied nor
/// charged. Queries and probabilities are encoded as activations, keys and values as weights (they
/// stand where weights stand in the three products of training): Q, K, V and the gradients on one
/// grid each, P on one grid per token and head for Y and on one grid for the gradient of V. All
/// over their own ranges, in evaluation too.
///
/// Cross-attention: queries may have other lengths than keys and values, q [sum of m_i, width], k
/// and v [sum of n_i, width]; sequence i of the queries sees sequence i of the keys.
/// @throws ShapeError unless the shapes are those, lengths are 1 and more, heads divide the width,
/// and, if it is causal, sequences have as many keys as queries
struct Attention {
  Site scores, values;
  std::int64_t heads = 1;
  bool causal = true;

  static Attention create(const std::string& name, std::int64_t heads, bool causal);
  Var operator()(Pass& pass, Var qkv, std::span<const std::int64_t> lengths) const;
  Var operator()(Pass& pass, Var q, Var k, Var v, std::span<const std::int64_t> query_lengths,
                 std::span<const std::int64_t> key_lengths) const;
};

/// Rotates the queries and keys of qkv by their token's position t in its sequence: elements 2i and
/// 2i+1 of every head by the angle t theta^(-2i/d), so that scores depend on distances. A larger
/// theta turns more slowly, for longer sequences. Source: Su et al., "RoFormer", 2021.
/// @throws ShapeError as Attention, or for an odd d; ConfigError unless theta is finite and above 0
Var rotary(Pass& pass, Var qkv, std::span<const std::int64_t> lengths, std::int64_t heads,
           double theta = 10000.0);

/// `rows` sequences of equal lengths. @throws ShapeError unless the tokens are so many
std::vector<std::int64_t> equal_lengths(std::int64_t tokens, std::int64_t rows);

}  // namespace ebb
