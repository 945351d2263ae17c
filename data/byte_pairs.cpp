#include "data/byte_pairs.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <queue>
#include <set>
#include <utility>

#include "core/error.h"

namespace ebb {
namespace {

using Pair = BytePairs::Pair;
using Tokens = std::vector<std::int32_t>;

enum class ByteClass : std::uint8_t { letter, digit, space, other };

ByteClass class_of(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x80 || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z'))
    return ByteClass::letter;
  if (byte >= '0' && byte <= '9') return ByteClass::digit;
  return byte == ' ' || (byte >= '\t' && byte <= '\r') ? ByteClass::space : ByteClass::other;
}

Tokens bytes_of(std::string_view text) {
  Tokens tokens(text.size());
  std::ranges::transform(text, tokens.begin(), [](char c) {
    return static_cast<std::int32_t>(static_cast<unsigned char>(c));
  });
  return tokens;
}

/// Tokens of chunks in one row. A merge takes one of them out, and nothing else is looked at again.
class Row {
 public:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  void append(std::string_view chunk) {
    const std::size_t first = tokens_.size();
    for (const std::int32_t token : bytes_of(chunk)) {
      const std::size_t at = tokens_.size();
      tokens_.push_back(token);
      previous_.push_back(at == first ? kNone : at - 1);
      next_.push_back(at + 1 == first + chunk.size() ? kNone : at + 1);
    }
  }

  [[nodiscard]] std::size_t size() const { return tokens_.size(); }
  [[nodiscard]] std::size_t next(std::size_t at) const { return next_[at]; }
  [[nodiscard]] std::size_t previous(std::size_t at) const { return previous_[at]; }
  [[nodiscard]] std::int32_t token(std::size_t at) const { return tokens_[at]; }
  /// The token at a place and its right neighbour, if both are there.
  [[nodiscard]] std::optional<Pair> pair(std::size_t at) const {
    if (tokens_[at] == kGone || next_[at] == kNone) return std::nullopt;
    return Pair(tokens_[at], tokens_[next_[at]]);
  }

  /// The token at a place takes the place of its right neighbour, too.
  void merge(std::size_t at, std::int32_t token) {
    const std::size_t gone = next_[at];
    tokens_[at] = token;
    tokens_[gone] = kGone;
    next_[at] = next_[gone];
    if (next_[at] != kNone) previous_[next_[at]] = at;
  }

 private:
  static constexpr std::int32_t kGone = -1;

  Tokens tokens_;
  std::vector<std::size_t> previous_, next_;
};

/// The distinct chunks of a text, how often each occurs, and how often each pair of neighbours
/// does.
class Statistics {
 public:
  explicit Statistics(std::string_view text) {
    std::map<std::string_view, std::int64_t> counts;
    while (!text.empty()) {
      const std::string_view chunk = first_chunk(text);
      ++counts[chunk];
      text.remove_prefix(chunk.size());
    }
    for (const auto& [chunk, count] : counts) {
      row_.append(chunk);
      weights_.resize(row_.size(), count);
    }
    for (std::size_t at = 0; at < row_.size(); ++at) count(at, +1);
    for (const auto& [pair, found] : pairs_) offer(pair, found.count);
  }

  /// The pair that occurs most often, if one occurs twice.
  std::optional<Pair> most_frequent() {
    while (!candidates_.empty()) {
      const Candidate best = candidates_.top();
      if (best.count < 2) return std::nullopt;
      if (pairs_.at(best.pair).count == best.count) return best.pair;
      candidates_.pop();  // it was of an earlier count; the present one has been offered, too
    }
    return std::nullopt;
  }

  void apply(Pair pair, std::int32_t token) {
    std::vector<std::size_t> places = std::exchange(pairs_.at(pair).places, {});
    std::ranges::sort(places);
    places.erase(std::unique(places.begin(), places.end()), places.end());
    changed_.clear();
    for (const std::size_t at : places) {
      if (row_.pair(at) != pair) continue;
      const std::size_t before = row_.previous(at);
      if (before != Row::kNone) count(before, -1);
      count(at, -1);
      count(row_.next(at), -1);
      row_.merge(at, token);
      if (before != Row::kNone) count(before, +1);
      count(at, +1);
    }
    for (const Pair& other : changed_) offer(other, pairs_.at(other).count);
  }

 private:
  struct Found {
    std::int64_t count = 0;
    std::vector<std::size_t> places;  ///< where it has been: some may have lost it since
  };
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  void count(std::size_t at, std::int64_t sign) {
    const std::optional<Pair> pair = row_.pair(at);
    if (!pair) return;
    Found& found = pairs_[*pair];
    found.count += sign * weights_[at];
    if (sign > 0) found.places.push_back(at);
    changed_.insert(*pair);
  }
  void offer(Pair pair, std::int64_t count) { candidates_.push({count, pair}); }

  Row row_;
  std::vector<std::int64_t> weights_;  ///< how often the chunk of a place occurs
  std::map<Pair, Found> pairs_;
  std::set<Pair> changed_;
  std::priority_queue<Candidate> candidates_;
};

}  // namespace

std::string_view first_chunk(std::string_view text) {
  const auto run = [&](std::size_t from) {
    const std::string_view rest = text.substr(from, BytePairs::kLongestChunk);
    return static_cast<std::size_t>(
        std::ranges::find_if(rest, [&](char c) { return class_of(c) != class_of(rest[0]); }) -
        rest.begin());
  };
  const std::size_t length = run(0);
  const bool goes_with_next =
      text[length - 1] == ' ' && length < text.size() && class_of(text[length]) != ByteClass::space;
  if (!goes_with_next) return text.substr(0, length);
  return text.substr(0, length == 1 ? 1 + run(1) : length - 1);
}

BytePairs BytePairs::learn(std::string_view text, std::int64_t tokens) {
  require<ConfigError>(tokens > kBytes,
                       "[text] byte pairs need a vocabulary of more than the 256 bytes, got ",
                       tokens);
  BytePairs result;
  Statistics statistics(text);
  for (auto token = static_cast<std::int32_t>(kBytes); token < tokens; ++token) {
    const std::optional<Pair> pair = statistics.most_frequent();
    if (!pair) break;
    statistics.apply(*pair, token);
    result.merges_.push_back(*pair);
    result.token_of_.emplace(*pair, token);
  }
  return result;
}

BytePairs BytePairs::of(std::span<const Pair> merges) {
  BytePairs result;
  std::vector<std::size_t> lengths(static_cast<std::size_t>(kBytes), 1);  // of tokens, in bytes
  for (const Pair& pair : merges) {
    const auto known = static_cast<std::int32_t>(lengths.size());
    const auto is_known = [&](std::int32_t token) { return token >= 0 && token < known; };
    require<DataError>(is_known(pair.first) && is_known(pair.second), "[text] merge ",
                       result.merges_.size(), ": ", pair.first, " and ", pair.second,
                       " are not both tokens 0 .. ", known - 1);
    const std::size_t length = lengths[static_cast<std::size_t>(pair.first)] +
                               lengths[static_cast<std::size_t>(pair.second)];
    require<DataError>(length <= kLongestChunk && result.token_of_.emplace(pair, known).second,
                       "[text] merge ", result.merges_.size(), " of ", pair.first, " and ",
                       pair.second, " is there already, or longer than ", kLongestChunk, " bytes");
    lengths.push_back(length);
    result.merges_.push_back(pair);
  }
  return result;
}

Tokens BytePairs::encode(std::string_view text) const {
  Tokens result;
  std::map<std::string_view, Tokens> known;
  while (!text.empty()) {
    const std::string_view chunk = first_chunk(text);
    text.remove_prefix(chunk.size());
    const auto [entry, is_new] = known.try_emplace(chunk);
    if (is_new) entry->second = merged(chunk);
    result.insert(result.end(), entry->second.begin(), entry->second.end());
  }
  return result;
}

Tokens BytePairs::merged(std::string_view chunk) const {
  Row row;
  row.append(chunk);
  using Merge = std::pair<std::int32_t, std::size_t>;  // what was learnt first has the lowest
                                                       // token; of equals the left one
  std::priority_queue<Merge, std::vector<Merge>, std::greater<>> merges;
  const auto offer = [&](std::size_t at) {
    const std::optional<Pair> pair = row.pair(at);
    const auto found = pair ? token_of_.find(*pair) : token_of_.end();
    if (found != token_of_.end()) merges.emplace(found->second, at);
  };
  for (std::size_t at = 0; at < row.size(); ++at) offer(at);
  while (!merges.empty()) {
    const auto [token, at] = merges.top();
    merges.pop();
    if (row.pair(at) != merges_[static_cast<std::size_t>(token - kBytes)])
      continue;  // another merge took a part of it
    row.merge(at, token);
    if (row.previous(at) != Row::kNone) offer(row.previous(at));
    offer(at);
  }
  Tokens tokens;
  for (std::size_t at = 0; at != Row::kNone; at = row.next(at)) tokens.push_back(row.token(at));
  return tokens;
}

}  // namespace ebb
