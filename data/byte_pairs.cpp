#include "data/byte_pairs.h"

#include <algorithm>
#include <cstddef>
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
  if (byte >= 0x80 || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z')) return ByteClass::letter;
  if (byte >= '0' && byte <= '9') return ByteClass::digit;
  return byte == ' ' || (byte >= '\t' && byte <= '\r') ? ByteClass::space : ByteClass::other;
}

Tokens bytes_of(std::string_view text) {
  Tokens tokens(text.size());
  std::ranges::transform(text, tokens.begin(), [](char c) { return static_cast<std::int32_t>(static_cast<unsigned char>(c)); });
  return tokens;
}

/// Replaces every occurrence of a pair, from the left.
void merge(Tokens& tokens, Pair pair, std::int32_t token) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool found = i + 1 < tokens.size() && Pair(tokens[i], tokens[i + 1]) == pair;
    tokens[kept++] = found ? token : tokens[i];
    if (found) ++i;
  }
  tokens.resize(kept);
}

/// The distinct chunks of a text, how often each occurs, and how often each pair of neighbours does.
class Statistics {
 public:
  explicit Statistics(std::string_view text) {
    std::map<std::string_view, std::int64_t> counts;
    while (!text.empty()) {
      const std::string_view chunk = first_chunk(text);
      ++counts[chunk];
      text.remove_prefix(chunk.size());
    }
    for (const auto& [chunk, count] : counts) chunks_.push_back({bytes_of(chunk), count});
    for (std::size_t i = 0; i < chunks_.size(); ++i) count_pairs(i, +1);
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
    const std::set<std::size_t> places = std::move(pairs_.at(pair).chunks);
    changed_.clear();
    for (const std::size_t i : places) {
      count_pairs(i, -1);
      merge(chunks_[i].tokens, pair, token);
      count_pairs(i, +1);
    }
    for (const Pair& other : changed_) offer(other, pairs_.at(other).count);
  }

 private:
  struct Chunk {
    Tokens tokens;
    std::int64_t count;
  };
  struct Found {
    std::int64_t count = 0;
    std::set<std::size_t> chunks;  ///< where it has been: some may have lost it since
  };
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const { return count != other.count ? count < other.count : pair > other.pair; }
  };

  void count_pairs(std::size_t i, std::int64_t sign) {
    const auto& [tokens, count] = chunks_[i];
    for (std::size_t at = 0; at + 1 < tokens.size(); ++at) {
      const Pair pair(tokens[at], tokens[at + 1]);
      Found& found = pairs_[pair];
      found.count += sign * count;
      if (sign > 0) found.chunks.insert(i);
      changed_.insert(pair);
    }
  }
  void offer(Pair pair, std::int64_t count) { candidates_.push({count, pair}); }

  std::vector<Chunk> chunks_;
  std::map<Pair, Found> pairs_;
  std::set<Pair> changed_;
  std::priority_queue<Candidate> candidates_;
};

}  // namespace

std::string_view first_chunk(std::string_view text) {
  const auto run = [&](std::size_t from) {
    const std::string_view rest = text.substr(from, BytePairs::kLongestChunk);
    return static_cast<std::size_t>(std::ranges::find_if(rest, [&](char c) { return class_of(c) != class_of(rest[0]); }) -
                                    rest.begin());
  };
  const std::size_t length = run(0);
  const bool goes_with_next = text[length - 1] == ' ' && length < text.size() && class_of(text[length]) != ByteClass::space;
  if (!goes_with_next) return text.substr(0, length);
  return text.substr(0, length == 1 ? 1 + run(1) : length - 1);
}

BytePairs BytePairs::learn(std::string_view text, std::int64_t tokens) {
  require<ConfigError>(tokens > kBytes, "[text] byte pairs need a vocabulary of more than the 256 bytes, got ", tokens);
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

Tokens BytePairs::encode(std::string_view text) const {
  Tokens result;
  std::map<std::string_view, Tokens> known;
  while (!text.empty()) {
    const std::string_view chunk = first_chunk(text);
    text.remove_prefix(chunk.size());
    const auto [entry, is_new] = known.try_emplace(chunk);
    if (is_new) {
      Tokens& tokens = entry->second = bytes_of(chunk);
      for (;;) {  // what was learnt first has the lowest token
        auto first = token_of_.end();
        for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
          const auto found = token_of_.find({tokens[i], tokens[i + 1]});
          if (found != token_of_.end() && (first == token_of_.end() || found->second < first->second)) first = found;
        }
        if (first == token_of_.end()) break;
        merge(tokens, first->first, first->second);
      }
    }
    result.insert(result.end(), entry->second.begin(), entry->second.end());
  }
  return result;
}

}  // namespace ebb
