#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace ebb {

/// An n-gram language model with interpolated Kneser-Ney smoothing: what a network that models text
/// should beat. With c the count of an n-gram at the highest order, and below it the number of
/// different tokens that come before the n-gram,
///
/// | P(w | h) = max(c(h w) - D, 0) / c(h) + D N(h) / c(h) P(w | h without its first token)
/// | P(w | nothing yet) = 1 / vocabulary
///
/// where c(h) and N(h) are the sum and the number of the c(h w) > 0, and D = n1 / (n1 + 2 n2) of
/// its order's n-grams counted once and twice (1/2 where there are none). A context that training
/// did not see leaves the word to the next shorter one. Source: Kneser & Ney, 1995; Chen & Goodman,
/// "An empirical study of smoothing techniques for language modeling", 1999.
class NgramModel {
 public:
  /// Counts a text of token ids 0 .. vocabulary-1. @throws ConfigError unless 1 <= order <= 8 and
  /// vocabulary >= 1; DataError for an id out of range or a text shorter than `order`
  NgramModel(std::span<const std::int32_t> text, std::int64_t vocabulary, int order);

  /// P(token | context), of which the last order - 1 tokens count. Over all tokens it sums to 1.
  /// @throws DataError for an id out of range
  [[nodiscard]] double probability(std::span<const std::int32_t> context, std::int32_t token) const;
  /// Mean -ln P of the second to the last token of a text, in nats: what networks predict of it
  /// too.
  /// @throws DataError for an id out of range or a text of fewer than 2 tokens
  [[nodiscard]] double loss(std::span<const std::int32_t> text) const;

 private:
  struct Node {
    std::int64_t count = 0;     ///< c of the n-gram
    std::int64_t followed = 0;  ///< sum of the c of its continuations
    std::int64_t kinds = 0;     ///< how many of them have c > 0
  };

  /// The n-gram that follows a node by a token, or -1.
  [[nodiscard]] std::int64_t child(std::int64_t node, std::int32_t token) const;
  void require_ids(std::span<const std::int32_t> text) const;

  std::int64_t vocabulary_;
  int order_;
  std::vector<Node> nodes_;  ///< n-grams as paths of tokens from node 0, which is the empty one
  std::map<std::int64_t, std::int64_t> children_;  ///< by node * vocabulary + token
  std::vector<double> discounts_;                  ///< by the length of the n-gram
};

}  // namespace ebb
