#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/checked.h"
#include "core/key.h"
#include "data/text.h"

namespace ebb {

/// Tokens of several places of a text and, for each of them, the token that follows: both of rows x
/// length.
struct TokenBatch {
  std::int64_t rows = 0, length = 0;
  TokenIds inputs{}, targets{};

  [[nodiscard]] std::int64_t size() const { return rows * length; }
};

/// A text cut into `rows` equal, consecutive streams (what is left over is dropped) that are read
/// side by side in windows of `length` tokens, for networks that carry their state from window to
/// window. The last window of an epoch may be shorter. Batches are laid out by time: element t *
/// rows + r is token t of stream r.
class StreamWindows {
 public:
  /// The text must outlive this. @throws ConfigError unless rows, length >= 1; DataError for a text
  /// of fewer than 2 rows tokens
  StreamWindows(std::span<const std::int32_t> text, std::int64_t rows, std::int64_t length);

  [[nodiscard]] std::int64_t count() const { return ceil_div(stream_ - 1, length_); }
  /// Tokens per stream in a window 0 .. count()-1.
  [[nodiscard]] std::int64_t length(std::int64_t window) const;
  [[nodiscard]] TokenBatch window(std::int64_t window) const;

 private:
  std::span<const std::int32_t> text_;
  std::int64_t rows_, length_, stream_;
};

/// The same for scoring, where nothing may be left over: every token but the text's first is a
/// target exactly once. The targets are cut into at most `rows` consecutive streams, whose lengths
/// differ by one at the most, longer ones first; a stream begins with the token before its first
/// target. Where the longer ones go on alone, a last window of one token has their rows only.
class ScoredStreams {
 public:
  /// The text must outlive this. @throws ConfigError unless rows, length >= 1; DataError for a text
  /// of fewer than 2 tokens
  ScoredStreams(std::span<const std::int32_t> text, std::int64_t rows, std::int64_t length);

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t count() const {
    return (stream_ + length_ - 1) / length_ + (longer_ > 0 ? 1 : 0);
  }
  [[nodiscard]] TokenBatch window(std::int64_t window) const;

 private:
  std::span<const std::int32_t> text_;
  std::int64_t rows_, length_;
  std::int64_t stream_, longer_;  ///< targets of a stream, and how many streams have one more
};

/// `rows` windows of `length` tokens that begin at uniformly random places of the text, for
/// networks that see one window at a time; row r draws counter r of the key. Element r * length + t
/// is token t of window r.
/// @throws ConfigError unless rows, length >= 1; DataError for a text of fewer than length + 1
/// tokens
TokenBatch random_windows(std::span<const std::int32_t> text, std::int64_t rows,
                          std::int64_t length, Key key);

/// The windows first .. first+rows-1 of a text that is cut into consecutive windows of `length`
/// tokens; the last one of the text may be shorter and is then a batch of its own.
class ConsecutiveWindows {
 public:
  /// @throws ConfigError unless rows, length >= 1; DataError for a text of fewer than 2 tokens
  ConsecutiveWindows(std::span<const std::int32_t> text, std::int64_t rows, std::int64_t length);

  [[nodiscard]] std::int64_t count() const {
    return ceil_div(whole_, rows_) + (rest_ > 0 ? 1 : 0);
  }  ///< batches
  [[nodiscard]] TokenBatch batch(std::int64_t index) const;

 private:
  std::span<const std::int32_t> text_;
  std::int64_t rows_, length_, whole_,
      rest_;  ///< windows of full length; predicted tokens after them
};

}  // namespace ebb
