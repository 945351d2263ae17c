#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "data/byte_pairs.h"
#include "data/text.h"
#include "tests/data_files.h"

using namespace ebb;

namespace {

using Pair = BytePairs::Pair;
using Tokens = std::vector<std::int32_t>;

std::vector<std::string> chunks_of(std::string_view text) {
  std::vector<std::string> chunks;
  while (!text.empty()) {
    chunks.emplace_back(first_chunk(text));
    text.remove_prefix(chunks.back().size());
  }
  return chunks;
}

Tokens merged(const Tokens& tokens, Pair pair, std::int32_t token) {
  Tokens result;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i + 1 < tokens.size() && tokens[i] == pair.first && tokens[i + 1] == pair.second) {
      result.push_back(token);
      ++i;
    } else {
      result.push_back(tokens[i]);
    }
  }
  return result;
}

/// The definition, word by word: counts everything anew for every merge, and encodes by doing every
/// merge on everything.
struct Naive {
  std::vector<Pair> merges;

  static std::vector<Tokens> bytes_of(std::string_view text) {
    std::vector<Tokens> result;
    for (const std::string& chunk : chunks_of(text)) {
      Tokens& tokens = result.emplace_back();
      for (const char c : chunk) tokens.push_back(static_cast<unsigned char>(c));
    }
    return result;
  }
  Naive(std::string_view text, std::int64_t tokens) {
    std::vector<Tokens> chunks = bytes_of(text);
    while (std::ssize(merges) < tokens - 256) {
      std::map<Pair, std::int64_t> counts;
      for (const Tokens& chunk : chunks) {
        for (std::size_t i = 0; i + 1 < chunk.size(); ++i) ++counts[{chunk[i], chunk[i + 1]}];
      }
      const auto best = std::ranges::max_element(
          counts, {}, [](const auto& entry) { return entry.second; });  // the first of equals
      if (best == counts.end() || best->second < 2) break;
      for (Tokens& chunk : chunks)
        chunk = merged(chunk, best->first, static_cast<std::int32_t>(256 + merges.size()));
      merges.push_back(best->first);
    }
  }
  [[nodiscard]] Tokens encode(std::string_view text) const {
    Tokens result;
    for (Tokens chunk : bytes_of(text)) {
      for (std::size_t i = 0; i < merges.size(); ++i)
        chunk = merged(chunk, merges[i], static_cast<std::int32_t>(256 + i));
      result.insert(result.end(), chunk.begin(), chunk.end());
    }
    return result;
  }
};

/// `size` bytes of an alphabet.
std::string random_text(std::string_view alphabet, std::size_t size, Key key) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = alphabet[key.below(i, alphabet.size())];
  return text;
}

std::string all_bytes() {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  return bytes;
}

}  // namespace

TEST_CASE("chunks are runs of one class with the space before them") {
  using Chunks = std::vector<std::string>;
  CHECK(chunks_of("To be, or not2be:") == Chunks{"To", " be", ",", " or", " not", "2", "be", ":"});
  CHECK(chunks_of("a  b\n c\n\n  ") == Chunks{"a", " ", " b", "\n", " c", "\n\n  "});
  CHECK(chunks_of(" \t ?! ") == Chunks{" \t", " ?!", " "});
  CHECK(chunks_of("\xc3\xa9t\xc3\xa9's") == Chunks{"\xc3\xa9t\xc3\xa9", "'", "s"});
  CHECK(chunks_of(std::string(130, 'x')) ==
        Chunks{std::string(64, 'x'), std::string(64, 'x'), "xx"});
  CHECK(chunks_of(std::string(66, ' ') + "x") == Chunks{std::string(64, ' '), " ", " x"});
}

TEST_CASE("the most frequent pair is merged first, of equals the lowest") {
  // Four times "an" and "na" each, three times "ba" and the space before it: "an" is lower than
  // "na". Then (b, an) and (an, an) are as frequent, 3 times each, as (an, a) and (' ', b); the
  // lowest left token of them is the space.
  const BytePairs pairs = BytePairs::learn(" banana banan bana", 259);
  REQUIRE(pairs.merges().size() == 3);
  CHECK(pairs.merges()[0] == Pair('a', 'n'));
  CHECK(pairs.merges()[1] == Pair(' ', 'b'));
  CHECK(pairs.merges()[2] == Pair(257, 256));
  CHECK(pairs.encode(" bananab") == Tokens{258, 256, 'a', 'b'});
  CHECK(BytePairs::learn("aaa", 1000).merges().size() ==
        1);  // aa occurs twice; what is left, (aa)a, once
  CHECK(BytePairs::learn("abcdefg", 1000).merges().empty());
  CHECK(BytePairs::learn("", 257).merges().empty());
  CHECK_THROWS_AS(static_cast<void>(BytePairs::learn("a", 256)), ConfigError);
}

TEST_CASE("learning and encoding are those of the definition") {
  const Key key(name_hash("byte pairs"));
  for (std::uint64_t trial = 0; trial < 60; ++trial) {
    const std::string alphabet = trial % 3 == 0   ? "ab "
                                 : trial % 3 == 1 ? "abcdef  \n12,."
                                                  : all_bytes();
    const std::string text = random_text(alphabet, 20 + 11 * trial, key.fold(trial)),
                      other = random_text(alphabet, 200, key.fold(trial).fold("other"));
    const std::int64_t tokens = 257 + static_cast<std::int64_t>(trial) * 3;
    CAPTURE(trial);
    const BytePairs pairs = BytePairs::learn(text, tokens);
    const Naive naive(text, tokens);
    CHECK(std::ranges::equal(pairs.merges(), naive.merges));
    CHECK(pairs.encode(text) == naive.encode(text));
    CHECK(pairs.encode(other) == naive.encode(other));
  }
}

TEST_CASE("a text without blanks is learnt and shortened") {
  const std::string text = random_text("abcdefghijklmnopqrstuvwxyz", 300'000,
                                       Key(5));  // chunks of 64, hardly two of them alike
  const BytePairs pairs = BytePairs::learn(text, 2048);
  const Tokens tokens = pairs.encode(text);
  CHECK(pairs.merges().size() == 2048 - 256);
  CHECK(3 * tokens.size() <
        2 * text.size());  // a token of most pairs of letters, and of some threes
}

TEST_CASE("a vocabulary of byte pairs loses nothing and shortens what is like its text") {
  const std::string text = embedded_text(30'000, Key(1)),
                    bytes = random_text(all_bytes(), 3000, Key(2));
  const Vocabulary vocabulary = Vocabulary::of_byte_pairs(text, 400);
  CHECK(vocabulary.unit() == TokenUnit::byte_pair);
  CHECK(vocabulary.size() == 400);
  for (const std::string& each : {text, bytes, std::string(), all_bytes()}) {
    const TokenIds ids = vocabulary.encode(each, "text");
    CHECK(vocabulary.decode(ids) == each);
    CHECK(vocabulary.bytes(ids) == std::ssize(each));
  }
  CHECK(2 * vocabulary.encode(text, "text").size() < text.size());
}

TEST_CASE("the learnt tokens are those of the training part alone") {
  const Corpus corpus = open_text("embedded", {.unit = TokenUnit::byte_pair, .vocabulary = 300});
  CHECK(corpus.vocabulary.decode(corpus.validation) ==
        open_text("embedded", {}).vocabulary.decode(open_text("embedded", {}).validation));
  const BytePairs pairs = BytePairs::learn(corpus.vocabulary.decode(corpus.train), 300);
  CHECK(corpus.train == pairs.encode(corpus.vocabulary.decode(corpus.train)));

  if (const auto folder = data_test::real_data("tinyshakespeare"); !folder.empty()) {
    const Corpus shakespeare =
        open_text(folder / "input.txt", {.unit = TokenUnit::byte_pair, .vocabulary = 1000});
    CHECK(shakespeare.vocabulary.size() == 1000);
    CHECK(shakespeare.vocabulary.bytes(shakespeare.train) == 1'059'624 * 95 / 100);
    CHECK(shakespeare.vocabulary.token(256) == " t");
  }
}
