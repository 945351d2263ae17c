#include "data/text.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/sha256.h"
#include "data/file.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

/// The length of the UTF-8 character that begins a text, 0 if none does. Refuses overlong forms,
/// surrogates and what lies above U+10FFFF.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return static_cast<unsigned>(static_cast<unsigned char>(text[i]));
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  const unsigned lowest = lead == 0xe0   ? 0xa0
                          : lead == 0xf0 ? 0x90
                                         : 0x80,
                 highest = lead == 0xed   ? 0x9f
                           : lead == 0xf4 ? 0x8f
                                          : 0xbf;
  if (byte(1) < lowest || byte(1) > highest) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

/// Calls use(word) for every word and for the `<eos>` of every line.
template <class Use>
void for_each_word(std::string_view text, const Use& use) {
  constexpr std::string_view kBetween = " \t\r";
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    for (;;) {
      const std::size_t begin = line.find_first_not_of(kBetween);
      if (begin == std::string_view::npos) break;
      line.remove_prefix(begin);
      const std::string_view word = line.substr(0, line.find_first_of(kBetween));
      use(word);
      line.remove_prefix(word.size());
    }
    use(Vocabulary::kEndOfLine);
  }
}

std::string read_text(const fs::path& path) {
  const std::vector<std::byte> bytes = read_data_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// NAME, NAME.gz or NAME.xz in a folder.
std::optional<fs::path> find_part(const fs::path& folder, std::string_view name) {
  for (const char* packing : {"", ".gz", ".xz"}) {
    std::error_code ignored;
    if (fs::path path = folder / concat(name, packing); fs::is_regular_file(path, ignored))
      return path;
  }
  return std::nullopt;
}

struct Parts {
  std::string train, validation, test;
};

Parts read_folder(const fs::path& folder) {
  Parts parts;
  const std::array<std::pair<const char*, std::string*>, 3> files{
      {{"train.txt", &parts.train}, {"valid.txt", &parts.validation}, {"test.txt", &parts.test}}};
  for (const auto& [name, part] : files) {
    const std::optional<fs::path> path = find_part(folder, name);
    require<DataError>(path || part == &parts.test, "[text] ", folder.string(), ": has no ", name,
                       " (plain, .gz or .xz); expected train.txt, valid.txt and perhaps test.txt, "
                       "or give one text file");
    if (path) *part = read_text(*path);
  }
  return parts;
}

Parts split_file(const std::string& text, TokenUnit unit, const std::string& name) {
  std::size_t cut = text.size() / 20 * 19 + text.size() % 20 * 19 / 20;
  if (unit == TokenUnit::word) cut = std::min(text.find('\n', cut), text.size() - 1) + 1;
  require<DataError>(cut > 0 && cut < text.size(), "[text] ", name, ": ", text.size(),
                     " bytes are too few to set 5 % aside",
                     unit == TokenUnit::word ? " at the end of a line" : "");
  return {text.substr(0, cut), text.substr(cut), ""};
}

Parts embedded_parts() {
  const Key key(name_hash("embedded text"));  // one fixed text, whatever the seed of a run
  return {embedded_text(400'000, key.fold("train")), embedded_text(20'000, key.fold("validation")),
          embedded_text(20'000, key.fold("test"))};
}

}  // namespace

std::size_t first_not_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

void require_utf8(std::string_view text, std::string_view name) {
  const std::size_t at = first_not_utf8(text);
  require<DataError>(at == std::string_view::npos, "[text] ", name, ": line ",
                     1 + std::ranges::count(text.substr(0, at), '\n'), ", byte ", at,
                     " of the text is not UTF-8; words need UTF-8, or use bytes as tokens");
}

std::string to_text(TokenUnit unit) {
  return unit == TokenUnit::byte ? "byte" : unit == TokenUnit::word ? "word" : "byte pair";
}

void Vocabulary::add(std::string token) {
  ids_.emplace(token, static_cast<std::int32_t>(tokens_.size()));
  tokens_.push_back(std::move(token));
}

Vocabulary Vocabulary::of_bytes(std::string_view text) {
  require<DataError>(!text.empty(), "[text] an empty text has no tokens");
  std::array<bool, 256> occurs{};
  for (const char c : text) occurs[static_cast<unsigned char>(c)] = true;
  Vocabulary vocabulary;
  for (std::size_t byte = 0; byte < occurs.size(); ++byte) {
    if (occurs[byte]) vocabulary.add(std::string(1, static_cast<char>(byte)));
  }
  return vocabulary;
}

Vocabulary Vocabulary::of_words(std::string_view text, std::int64_t limit, std::string_view name) {
  require<ConfigError>(limit >= 3, "[text] a vocabulary needs 3 words and more, got ", limit);
  require<DataError>(!text.empty(), "[text] ", name, ": an empty text has no words");
  require_utf8(text, name);
  std::map<std::string_view, std::int64_t> counts{{kUnknown, 0}, {kEndOfLine, 0}};
  for_each_word(text, [&](std::string_view word) { ++counts[word]; });
  std::vector<std::pair<std::string_view, std::int64_t>> words;
  for (const auto& entry : counts) {
    if (entry.first != kUnknown && entry.first != kEndOfLine) words.emplace_back(entry);
  }
  std::ranges::stable_sort(words, [](const auto& a, const auto& b) { return a.second > b.second; });
  if (words.size() > static_cast<std::size_t>(limit - 2))
    words.resize(static_cast<std::size_t>(limit - 2));
  Vocabulary vocabulary;
  vocabulary.unit_ = TokenUnit::word;
  vocabulary.add(std::string(kUnknown));
  vocabulary.add(std::string(kEndOfLine));
  for (const auto& entry : words) vocabulary.add(std::string(entry.first));
  return vocabulary;
}

Vocabulary Vocabulary::of_byte_pairs(std::string_view text, std::int64_t limit) {
  Vocabulary vocabulary;
  vocabulary.add_byte_pairs(BytePairs::learn(text, limit));
  return vocabulary;
}

void Vocabulary::add_byte_pairs(BytePairs pairs) {
  unit_ = TokenUnit::byte_pair;
  byte_pairs_ = std::move(pairs);
  for (std::int64_t byte = 0; byte < BytePairs::kBytes; ++byte)
    add(std::string(1, static_cast<char>(byte)));
  for (const auto& [left, right] : byte_pairs_.merges()) add(token(left) + token(right));
}

namespace {

constexpr std::string_view kVocabularyFormat = "ebb-vocabulary-1";
// As on the command line.
constexpr std::array<std::pair<TokenUnit, std::string_view>, 3> kUnitNames{
    {{TokenUnit::byte, "byte"}, {TokenUnit::word, "word"}, {TokenUnit::byte_pair, "bpe"}}};

std::int32_t parse_token(std::string_view text, std::int64_t limit) {
  std::int64_t token = 0;
  require<DataError>(parse_number(text, token) && token >= 0 && token < limit,
                     "expected a number of 0 to ", limit - 1, ", got '", text, "'");
  return static_cast<std::int32_t>(token);
}

}  // namespace

std::string Vocabulary::save() const {
  const auto unit = std::ranges::find(kUnitNames, unit_, &decltype(kUnitNames)::value_type::first);
  const std::size_t lines =
      unit_ == TokenUnit::byte_pair ? byte_pairs_.merges().size() : tokens_.size();
  std::string text = concat(kVocabularyFormat, ' ', unit->second, ' ', lines, '\n');
  if (unit_ == TokenUnit::byte_pair) {
    for (const auto& [left, right] : byte_pairs_.merges()) text += concat(left, ' ', right, '\n');
    return text;
  }
  for (const std::string& token : tokens_) {
    const bool word = unit_ == TokenUnit::word;
    text += word ? token : to_text(static_cast<std::int64_t>(static_cast<unsigned char>(token[0])));
    text += '\n';
  }
  return text;
}

Vocabulary Vocabulary::load(std::string_view text, std::string_view name) {
  std::vector<std::string> lines = split_at(text, '\n');
  const std::vector<std::string> head =
      lines.empty() ? lines : split_at(lines.front(), ' ');  // format, unit, lines
  std::int64_t count = 0;
  const auto unit = std::ranges::find(kUnitNames, head.size() == 3 ? head[1] : "",
                                      &decltype(kUnitNames)::value_type::second);
  require<DataError>(head.size() == 3 && head[0] == kVocabularyFormat && unit != kUnitNames.end() &&
                         parse_number(head[2], count) && count == std::ssize(lines) - 2 &&
                         lines.back().empty(),
                     "[text] ", name, " is no vocabulary, or not the whole of one");
  Vocabulary vocabulary;
  vocabulary.unit_ = unit->first;
  std::vector<BytePairs::Pair> merges;
  for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
    const std::string& line = lines[i];
    try {
      if (unit->first == TokenUnit::byte) {
        vocabulary.add(std::string(1, static_cast<char>(parse_token(line, 256))));
      } else if (unit->first == TokenUnit::word) {
        require_utf8(line, name);
        vocabulary.add(line);
      } else {
        const std::vector<std::string> pair = split_at(line, ' ');
        const std::int64_t known = BytePairs::kBytes + std::ssize(merges);
        require<DataError>(pair.size() == 2, "expected two numbers, got '", line, "'");
        merges.emplace_back(parse_token(pair[0], known), parse_token(pair[1], known));
      }
    } catch (const DataError& error) {
      throw DataError(concat("[text] ", name, ", line ", i + 1, ": ", error.what()));
    }
  }
  if (unit->first == TokenUnit::byte_pair) vocabulary.add_byte_pairs(BytePairs::of(merges));
  // Different merges may make the same bytes, but there is one token of a byte or a word.
  const bool once =
      unit->first == TokenUnit::byte_pair || vocabulary.ids_.size() == vocabulary.tokens_.size();
  const bool needed = unit->first != TokenUnit::word ||
                      (vocabulary.ids_.contains(kUnknown) && vocabulary.ids_.contains(kEndOfLine));
  require<DataError>(once && needed && !vocabulary.tokens_.empty(), "[text] ", name,
                     ": tokens are missing, or there twice");
  return vocabulary;
}

TokenIds Vocabulary::encode(std::string_view text, std::string_view name) const {
  if (unit_ == TokenUnit::byte_pair) return byte_pairs_.encode(text);

  TokenIds ids;
  if (unit_ == TokenUnit::word) {
    require_utf8(text, name);
    const std::int32_t unknown = ids_.find(kUnknown)->second;
    for_each_word(text, [&](std::string_view word) {
      const auto found = ids_.find(word);
      ids.push_back(found == ids_.end() ? unknown : found->second);
    });
    return ids;
  }
  std::array<std::int32_t, 256> of_byte{};
  of_byte.fill(-1);
  for (std::size_t i = 0; i < tokens_.size(); ++i)
    of_byte[static_cast<unsigned char>(tokens_[i][0])] = static_cast<std::int32_t>(i);
  ids.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    require<DataError>(of_byte[byte] >= 0, "[text] ", name, ": byte ", i, " is ",
                       static_cast<int>(byte), ", which the training text does not have");
    ids.push_back(of_byte[byte]);
  }
  return ids;
}

std::string Vocabulary::fingerprint() const {
  std::string all;
  for (const std::string& token : tokens_) all += concat(token.size(), ' ', token, '\n');
  return sha256_hex(all);
}

std::int64_t Vocabulary::bytes(std::span<const std::int32_t> ids) const {
  std::int64_t sum = 0;
  for (const std::int32_t id : ids) sum += std::ssize(token(id));
  return sum;
}

std::string Vocabulary::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    if (unit_ != TokenUnit::word) {
      text += token(id);
    } else if (token(id) == kEndOfLine) {
      text += '\n';
    } else {
      text += concat(text.empty() || text.back() == '\n' ? "" : " ", token(id));
    }
  }
  return text;
}

std::string Corpus::fingerprint(const TokenIds& ids) {
  return sha256_hex(std::as_bytes(std::span(ids)));
}

Corpus open_text(const std::string& where, const TextOptions& options) {
  Corpus corpus{.name = fs::path(where).filename().string(),
                .vocabulary = {},
                .train = {},
                .validation = {},
                .test = {}};
  std::error_code ignored;
  Parts parts;
  if (where == "embedded") {
    parts = embedded_parts();
  } else if (fs::is_directory(where, ignored)) {
    corpus.name = fs::canonical(where).filename().string();
    parts = read_folder(where);
  } else {
    require<DataError>(fs::exists(where, ignored), "[text] no such file or folder: '", where,
                       "'; give a text file, a folder with train.txt and valid.txt, or embedded");
    parts = split_file(read_text(where), options.unit, where);
  }
  switch (options.unit) {
    case TokenUnit::byte:
      corpus.vocabulary = Vocabulary::of_bytes(concat(parts.train, parts.validation, parts.test));
      break;
    case TokenUnit::word:
      corpus.vocabulary =
          Vocabulary::of_words(parts.train, options.vocabulary, concat(corpus.name, " train"));
      break;
    case TokenUnit::byte_pair:
      corpus.vocabulary = Vocabulary::of_byte_pairs(parts.train, options.vocabulary);
      break;
  }
  corpus.train = corpus.vocabulary.encode(parts.train, concat(corpus.name, " train"));
  corpus.validation = corpus.vocabulary.encode(parts.validation, concat(corpus.name, " valid"));
  corpus.test = corpus.vocabulary.encode(parts.test, concat(corpus.name, " test"));
  return corpus;
}

}  // namespace ebb
