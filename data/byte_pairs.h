#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace ebb {

/// A byte-pair encoding that is learnt from a text and loses nothing of any text (Sennrich, Haddow
/// and Birch, "Neural machine translation of rare words with subword units", ACL 2016; on bytes as
/// in Radford et al., "Language models are unsupervised multitask learners", 2019).
///
/// Tokens 0 .. 255 are the bytes; token 256 + i is what merge i made of two earlier ones. Merges
/// stay inside the chunks of a text: runs of one class of bytes - letters (of ASCII, and every byte
/// above 127), digits, white space, others - as long as possible, but at most 64 bytes; a space
/// before a run of another class goes with that run.
class BytePairs {
 public:
  using Pair = std::pair<std::int32_t, std::int32_t>;  ///< left and right token

  static constexpr std::int64_t kBytes = 256;       ///< tokens that are bytes
  static constexpr std::size_t kLongestChunk = 64;  ///< bounds the work per byte

  /// Merges, one after the other, the pair of neighbours that occurs most often in the chunks of
  /// the text, until there are `tokens` tokens or no pair occurs twice. Of pairs that occur equally
  /// often, the one of the lowest left and then the lowest right token is merged; overlapping
  /// occurrences (aaa) all count, and the left ones are merged.
  /// @throws ConfigError unless tokens > 256
  static BytePairs learn(std::string_view text, std::int64_t tokens);

  /// The encoding of these merges. @throws DataError for one of a token that is made by no merge
  /// before it, one that is there already, or one longer than a chunk
  static BytePairs of(std::span<const Pair> merges);

  [[nodiscard]] std::span<const Pair> merges() const { return merges_; }
  /// Every chunk with its merges done in the order in which they were learnt.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const;

 private:
  [[nodiscard]] std::vector<std::int32_t> merged(std::string_view chunk) const;

  std::vector<Pair> merges_;
  std::map<Pair, std::int32_t> token_of_;
};

/// The chunk that a text begins with; all of them together are the text. The text must not be
/// empty.
std::string_view first_chunk(std::string_view text);

}  // namespace ebb
