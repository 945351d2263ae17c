#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "data/byte_pairs.h"

namespace ebb {

/// What one token of a text is.
///
/// byte: every byte. word: what stands between spaces, tabs and carriage returns; every line, an
/// empty one too, ends in the token
/// `<eos>`, as in Mikolov's Penn Treebank files and their successors. byte_pair: what a byte-pair
/// encoding learns, see BytePairs.
enum class TokenUnit : std::uint8_t { byte, word, byte_pair };
std::string to_text(TokenUnit unit);

/// Where the first byte stands that is not UTF-8; npos if there is none.
std::size_t first_not_utf8(std::string_view text);
/// @throws DataError naming line and byte unless the text is UTF-8
void require_utf8(std::string_view text, std::string_view name);

using TokenIds = std::vector<std::int32_t>;

/// The distinct tokens of a text; a token's id is its place.
class Vocabulary {
 public:
  static constexpr std::string_view kUnknown = "<unk>", kEndOfLine = "<eos>";

  /// The bytes that occur, in ascending order. @throws DataError if there are none
  static Vocabulary of_bytes(std::string_view text);
  /// The most frequent words, at most `limit` with `<unk>` and `<eos>`, which are always among
  /// them; ties in byte order.
  /// @throws DataError if the text is empty or not UTF-8, naming line and byte; ConfigError unless
  /// limit >= 3
  static Vocabulary of_words(std::string_view text, std::int64_t limit, std::string_view name);
  /// The tokens of BytePairs::learn, at most `limit`. @throws ConfigError unless limit > 256
  static Vocabulary of_byte_pairs(std::string_view text, std::int64_t limit);

  /// What save() wrote. @throws DataError naming the line for any other text; `name` is for
  /// messages
  static Vocabulary load(std::string_view text, std::string_view name);
  /// A line that says what it is, "ebb-vocabulary-1 UNIT LINES", then one for each byte (a number),
  /// word, or merge of byte pairs (two numbers).
  [[nodiscard]] std::string save() const;

  [[nodiscard]] TokenUnit unit() const { return unit_; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }
  [[nodiscard]] const std::string& token(std::int32_t id) const {
    return tokens_[static_cast<std::size_t>(id)];
  }

  /// The ids of a text. A word that the vocabulary lacks is `<unk>`.
  /// @throws DataError for a byte that a vocabulary of bytes lacks, or words that are not UTF-8;
  /// `name` is for messages
  [[nodiscard]] TokenIds encode(std::string_view text, std::string_view name) const;
  /// SHA-256 of the tokens in their order: what must agree for two networks' token embeddings to
  /// mean the same.
  [[nodiscard]] std::string fingerprint() const;
  /// Bytes of the text that ids stand for, of all units but words.
  [[nodiscard]] std::int64_t bytes(std::span<const std::int32_t> ids) const;
  /// The text of ids: bytes and what was made of them as they are, words with single spaces between
  /// them, and a line feed for
  /// `<eos>`.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const;

 private:
  void add(std::string token);
  void add_byte_pairs(BytePairs pairs);

  TokenUnit unit_ = TokenUnit::byte;
  std::vector<std::string> tokens_;
  std::map<std::string, std::int32_t, std::less<>> ids_;
  BytePairs byte_pairs_;  ///< empty for other units
};

/// A text to train on and texts to be scored on.
struct Corpus {
  std::string name{};
  Vocabulary vocabulary{};
  TokenIds train{}, validation{}, test{};  ///< the test part may be empty

  /// SHA-256 of a part's ids, for the record.
  static std::string fingerprint(const TokenIds& ids);
};

struct TextOptions {
  TokenUnit unit = TokenUnit::byte;
  std::int64_t vocabulary = 50'000;  ///< most words, or tokens of byte pairs
};

/// Opens a text by name.
///
/// | where | parts |
/// |---|---|
/// | `embedded` | embedded_text(), 400,000 bytes to train on, 20,000 each for validation and test |
/// | a folder | `train.txt`, `valid.txt` and, if it is there, `test.txt` |
/// | a file | the first 95 % of its bytes train, the rest validates; words are not cut: their part ends with its line |
///
/// Files may be packed as .gz or .xz. Words and byte pairs are those of the training part, bytes
/// those of all parts.
/// @throws DataError when something is missing, empty, not UTF-8 where words are asked for, or too
/// short to be split
Corpus open_text(const std::string& where, const TextOptions& options);

/// About `size` bytes of English-like sentences from a small grammar with agreement in number and
/// time, whole lines only, a pure function of the key: what the programs train on when they are
/// given no data.
std::string embedded_text(std::int64_t size, Key key);

}  // namespace ebb
