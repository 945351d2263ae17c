#include "data/windows.h"

#include <algorithm>

#include "core/error.h"
#include "core/memory.h"

namespace ebb {
namespace {

std::int64_t size_of(std::span<const std::int32_t> text) {
  return static_cast<std::int64_t>(text.size());
}

void require_extents(std::int64_t rows, std::int64_t length) {
  require<ConfigError>(rows >= 1 && length >= 1,
                       "[windows] expected at least one row of one token, got ", rows, " x ",
                       length);
}

void require_target(std::span<const std::int32_t> text) {
  require<DataError>(text.size() >= 2, "[windows] a text of ", text.size(),
                     " tokens has none to predict");
}

/// Windows of `length` tokens that begin at the given places, one after the other.
TokenBatch windows_at(std::span<const std::int32_t> text, std::span<const std::int64_t> begins,
                      std::int64_t length) {
  TokenBatch batch{.rows = static_cast<std::int64_t>(begins.size()),
                   .length = length,
                   .inputs = {},
                   .targets = {}};
  const auto size =
      static_cast<std::size_t>(checked_mul(batch.rows, length, "[windows] tokens of a batch"));
  const auto reserve = [&] {
    batch.inputs.reserve(size);
    batch.targets.reserve(size);
  };
  allocate(uint128{size} * 2 * sizeof(std::int32_t), reserve, batch.rows, " windows of ", length,
           " tokens and what follows each");
  for (const std::int64_t begin : begins) {
    const auto first = text.begin() + begin;
    batch.inputs.insert(batch.inputs.end(), first, first + length);
    batch.targets.insert(batch.targets.end(), first + 1, first + 1 + length);
  }
  return batch;
}

}  // namespace

StreamWindows::StreamWindows(std::span<const std::int32_t> text, std::int64_t rows,
                             std::int64_t length)
    : text_(text), rows_(rows), length_(length), stream_(0) {
  require_extents(rows, length);
  stream_ = size_of(text) / rows;
  require<DataError>(stream_ >= 2, "[windows] ", text.size(), " tokens are too few for ", rows,
                     " streams of 2 and more; lower the batch");
}

std::int64_t StreamWindows::length(std::int64_t window) const {
  return std::min(length_, stream_ - 1 - window * length_);
}

TokenBatch StreamWindows::window(std::int64_t window) const {
  TokenBatch batch{.rows = rows_, .length = length(window), .inputs = {}, .targets = {}};
  for (std::int64_t t = window * length_; t < window * length_ + batch.length; ++t) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      const auto at = static_cast<std::size_t>(r * stream_ + t);
      batch.inputs.push_back(text_[at]);
      batch.targets.push_back(text_[at + 1]);
    }
  }
  return batch;
}

ScoredStreams::ScoredStreams(std::span<const std::int32_t> text, std::int64_t rows,
                             std::int64_t length)
    : text_(text), rows_(rows), length_(length), stream_(0), longer_(0) {
  require_extents(rows, length);
  require_target(text);
  const std::int64_t targets = size_of(text) - 1;
  rows_ = std::min(rows, targets);
  stream_ = targets / rows_;
  longer_ = targets % rows_;
}

TokenBatch ScoredStreams::window(std::int64_t window) const {
  const std::int64_t first = std::min(window * length_, stream_);
  const bool last = first == stream_;  // one token of the longer streams
  TokenBatch batch{.rows = last ? longer_ : rows_,
                   .length = last ? 1 : std::min(length_, stream_ - first),
                   .inputs = {},
                   .targets = {}};
  for (std::int64_t t = first; t < first + batch.length; ++t) {
    for (std::int64_t r = 0; r < batch.rows; ++r) {
      const auto at = static_cast<std::size_t>(r * stream_ + std::min(r, longer_) + t);
      batch.inputs.push_back(text_[at]);
      batch.targets.push_back(text_[at + 1]);
    }
  }
  return batch;
}

TokenBatch random_windows(std::span<const std::int32_t> text, std::int64_t rows,
                          std::int64_t length, Key key) {
  require_extents(rows, length);
  require<DataError>(size_of(text) > length, "[windows] ", text.size(),
                     " tokens are too few for windows of ", length,
                     " and the token after them; shorten the windows");
  std::vector<std::int64_t> begins;
  allocate(
      static_cast<uint128>(rows) * sizeof(begins[0]),
      [&] { begins.reserve(static_cast<std::size_t>(rows)); }, rows, " windows");
  for (std::int64_t r = 0; r < rows; ++r) {
    begins.push_back(static_cast<std::int64_t>(key.below(
        static_cast<std::uint64_t>(r), static_cast<std::uint64_t>(size_of(text) - length))));
  }
  return windows_at(text, begins, length);
}

ConsecutiveWindows::ConsecutiveWindows(std::span<const std::int32_t> text, std::int64_t rows,
                                       std::int64_t length)
    : text_(text), rows_(rows), length_(length), whole_(0), rest_(0) {
  require_extents(rows, length);
  require_target(text);
  whole_ = (size_of(text) - 1) / length;
  rest_ = (size_of(text) - 1) % length;
}

TokenBatch ConsecutiveWindows::batch(std::int64_t index) const {
  const std::int64_t first = index * rows_, rows = std::min(rows_, whole_ - first);
  std::vector<std::int64_t> begins;
  if (rows <= 0) return windows_at(text_, std::vector{whole_ * length_}, rest_);
  for (std::int64_t r = first; r < first + rows; ++r) begins.push_back(r * length_);
  return windows_at(text_, begins, length_);
}

}  // namespace ebb
