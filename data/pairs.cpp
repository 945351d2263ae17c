#include "data/pairs.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/sha256.h"
#include "core/text.h"
#include "data/file.h"

namespace ebb {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlanks = " \t\r\v\f";

bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

/// Where the columns of a file are.
struct Columns {
  std::size_t premise = 0, hypothesis = 0, label = 0, count = 0;
  std::optional<std::size_t> language;
};

Columns columns_of(std::string_view file, std::string_view header) {
  const std::vector<std::string> names = split_at(header, '\t');
  const auto find = [&](std::string_view name) -> std::optional<std::size_t> {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) return std::nullopt;
    require<DataError>(std::find(found + 1, names.end(), name) == names.end(), "[pairs] ", file,
                       " line 1: the column '", name, "' is there twice");
    return static_cast<std::size_t>(found - names.begin());
  };
  Columns columns{.count = names.size(), .language = find("language")};
  for (const auto& [premise, hypothesis, label] :
       {std::array{"premise", "hypo", "label"},
        std::array{"sentence1", "sentence2", "gold_label"}}) {
    const auto p = find(premise), h = find(hypothesis), l = find(label);
    if (!p || !h || !l) continue;
    columns.premise = *p;
    columns.hypothesis = *h;
    columns.label = *l;
    return columns;
  }
  throw DataError(concat(
      "[pairs] ", file,
      " line 1: expected a header that names the columns premise, hypo and label, or sentence1, "
      "sentence2 and gold_label, separated by tabs; got '",
      header.substr(0, 200), "'"));
}

std::int32_t label_of(std::string_view word) {
  const auto found =
      std::ranges::find(kPairLabels, word == "contradictory" ? kPairLabels[0] : word);
  return found == kPairLabels.end() ? -1 : static_cast<std::int32_t>(found - kPairLabels.begin());
}

using Sentences = std::vector<PairTexts>;

/// All sentences of a part, one a line.
std::string lines_of(const Sentences& pairs) {
  std::string text;
  for (const PairTexts& pair : pairs) text += concat(pair.premise, '\n', pair.hypothesis, '\n');
  return text;
}

std::vector<SentencePair> encode(const Sentences& pairs, const Vocabulary& vocabulary) {
  const auto ids = [&](const std::string& sentence) {
    TokenIds tokens = vocabulary.encode(sentence, "pairs");
    tokens.pop_back();  // the <eos>, which separators are when rows are packed
    return tokens;
  };
  std::vector<SentencePair> encoded;
  for (const PairTexts& pair : pairs)
    encoded.push_back({ids(pair.premise), ids(pair.hypothesis), pair.label});
  return encoded;
}

std::optional<fs::path> find_part(const fs::path& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    for (const char* packing : {"", ".gz", ".xz"}) {
      std::error_code ignored;
      if (fs::path path = folder / (name + packing); fs::is_regular_file(path, ignored))
        return path;
    }
  }
  return std::nullopt;
}

Sentences read_part(const fs::path& folder, const std::vector<std::string>& names,
                    const PairOptions& options, PairSet& set) {
  const std::optional<fs::path> path = find_part(folder, names);
  if (!path) return {};
  const std::vector<std::byte> bytes = read_data_file(*path);
  const std::string name = path->string();
  PairFile file = parse_pairs({name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}},
                              options.language);
  set.without_label += file.without_label;
  set.other_languages += file.other_languages;
  set.has_languages =
      set.has_languages || file.has_languages || path->filename().string().starts_with("multinli.");
  return std::move(file.pairs);
}

}  // namespace

std::vector<SentencePair> read_unlabelled_pairs(const std::string& path,
                                                const Vocabulary& vocabulary) {
  const std::vector<std::byte> bytes = read_data_file(path);
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  require_utf8(text, path);
  std::size_t premise = 0, hypothesis = 1;
  Sentences pairs;
  std::int64_t number = 0;
  for (std::string line : split_at(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    const std::vector<std::string> fields = split_at(line, '\t');
    const auto place = [&](const char* name) {
      return static_cast<std::size_t>(std::ranges::find(fields, name) - fields.begin());
    };
    const bool xnli = place("premise") < fields.size() && place("hypo") < fields.size();
    if (number == 1 &&
        (xnli || (place("sentence1") < fields.size() && place("sentence2") < fields.size()))) {
      premise = place(xnli ? "premise" : "sentence1");
      hypothesis = place(xnli ? "hypo" : "sentence2");
      continue;
    }
    PairTexts pair;
    if (std::max(premise, hypothesis) < fields.size())
      pair = {.premise = words_of(fields[premise]), .hypothesis = words_of(fields[hypothesis])};
    require<DataError>(!pair.premise.empty() && !pair.hypothesis.empty(), "[predict] ", path,
                       ", line ", number, ": expected two sentences with a tab between them, got '",
                       line, "'");
    pairs.push_back(std::move(pair));
  }
  require<DataError>(!pairs.empty(), "[predict] ", path, ": there are no pairs in it");
  return encode(pairs, vocabulary);
}

std::string words_of(std::string_view sentence) {
  std::string words;
  bool open = false;  // a word that the next letter goes on with
  for (const char c : sentence) {
    if (kBlanks.find(c) != std::string_view::npos) {
      open = false;
      continue;
    }
    const bool mark = is_punctuation(c);
    if (!words.empty() && (mark || !open)) words += ' ';
    words += c;
    open = !mark;
  }
  return words;
}

PairFile parse_pairs(const NamedText& file, std::string_view language) {
  require_utf8(file.text, file.name);
  std::string_view rest = file.text;
  if (rest.ends_with('\n')) rest.remove_suffix(1);
  PairFile result;
  std::optional<Columns> columns;
  std::int64_t number = 0;
  for (bool more = !rest.empty(); more;) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    more = end != std::string_view::npos;
    if (more) rest.remove_prefix(end + 1);
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!columns) {
      columns = columns_of(file.name, line);
      result.has_languages = columns->language.has_value();
      continue;
    }
    const std::vector<std::string> fields = split_at(line, '\t');
    const auto expect = [&](bool ok, const auto&... parts) {
      require<DataError>(ok, "[pairs] ", file.name, " line ", number, ": ", parts...);
    };
    expect(fields.size() == columns->count, "expected ", columns->count,
           " fields between tabs as in the header, got ", fields.size(),
           "; a tab or line end within a sentence?");
    if (columns->language && !language.empty() && fields[*columns->language] != language) {
      ++result.other_languages;
      continue;
    }
    const std::string& label = fields[columns->label];
    if (label == "-") {
      ++result.without_label;
      continue;
    }
    PairTexts pair{words_of(fields[columns->premise]), words_of(fields[columns->hypothesis]),
                   label_of(label)};
    expect(pair.label >= 0,
           "expected a label of contradiction (or contradictory), entailment, neutral or -, got '",
           label, "'");
    expect(!pair.premise.empty(), "the premise has no words; remove the row");
    expect(!pair.hypothesis.empty(), "the hypothesis has no words; remove the row");
    result.pairs.push_back(std::move(pair));
  }
  require<DataError>(columns.has_value(), "[pairs] ", file.name,
                     ": expected a header and rows, got an empty file");
  require<DataError>(!result.pairs.empty(), "[pairs] ", file.name,
                     ": there are no rows to use: ", result.without_label, " without a label, ",
                     result.other_languages, " in other languages than '", language, "'");
  return result;
}

std::string PairSet::fingerprint(const std::vector<SentencePair>& part) {
  TokenIds all;
  for (const SentencePair& pair : part) {
    for (const TokenIds* sentence : {&pair.premise, &pair.hypothesis}) {
      all.insert(all.end(), sentence->begin(), sentence->end());
      all.push_back(-1);
    }
    all.push_back(pair.label);
  }
  return Corpus::fingerprint(all);
}

Majority majority_of(const std::vector<SentencePair>& part) {
  std::array<std::int64_t, kPairLabels.size()> counts{};
  for (const SentencePair& pair : part) ++counts[static_cast<std::size_t>(pair.label)];
  const auto most = std::ranges::max_element(counts);
  return {static_cast<std::int32_t>(most - counts.begin()),
          part.empty() ? 0.0 : static_cast<double>(*most) / static_cast<double>(part.size())};
}

PairSet open_pairs(const std::string& where, const PairOptions& options) {
  PairSet set{.name = fs::path(where).filename().string(),
              .vocabulary = {},
              .train = {},
              .validation = {},
              .test = {}};
  Sentences train, validation, test;
  if (where == "embedded") {
    const Key key(name_hash("embedded pairs"));  // always the same ones, whatever the seed of a run
    train = embedded_pairs(20'000, key.fold("train"));
    test = embedded_pairs(2'000, key.fold("test"));
  } else {
    std::error_code ignored;
    require<DataError>(fs::is_directory(where, ignored), "[pairs] no such folder: '", where,
                       "'; give a folder with train.tsv and test.tsv, or embedded");
    set.name = fs::canonical(where).filename().string();
    train = read_part(
        where,
        {"train.tsv", concat("multinli.train.", options.language, ".tsv"), "snli_1.0_train.txt"},
        options, set);
    validation = read_part(where, {"valid.tsv", "dev.tsv", "xnli.dev.tsv", "snli_1.0_dev.txt"},
                           options, set);
    test = read_part(where, {"test.tsv", "xnli.test.tsv", "snli_1.0_test.txt"}, options, set);
    require<DataError>(!train.empty(), "[pairs] ", where,
                       ": has no train.tsv, multinli.train.LANGUAGE.tsv (with --language) or ",
                       "snli_1.0_train.txt (plain, .gz or .xz)");
    require<DataError>(!validation.empty() || !test.empty(), "[pairs] ", where,
                       ": has nothing to score: expected valid.tsv, dev.tsv or test.tsv, or the "
                       "names that XNLI or SNLI give them");
  }
  set.vocabulary =
      Vocabulary::of_words(lines_of(train), options.vocabulary, concat(set.name, " train"));
  set.train = encode(train, set.vocabulary);
  set.validation = encode(validation, set.vocabulary);
  set.test = encode(test, set.vocabulary);
  return set;
}

std::vector<PairTexts> embedded_pairs(std::int64_t count, Key key) {
  constexpr std::array<std::string_view, 8> animals{"cat",  "dog",  "fox",  "horse",
                                                    "bird", "frog", "goat", "mouse"};
  constexpr std::array<std::string_view, 6> colours{"red",   "blue",  "green",
                                                    "black", "white", "brown"};
  const auto say = [&](std::uint64_t animal, std::uint64_t colour) {
    return concat("the ", animals[animal], " is ", colours[colour]);
  };
  constexpr std::array<std::string_view, 4> openings{"", "today ", "they say ",
                                                     "in the old garden "};
  std::vector<PairTexts> pairs;
  for (std::int64_t i = 0; i < count; ++i) {
    const Key own = key.fold(static_cast<std::uint64_t>(i));
    const auto label = static_cast<std::int32_t>(own.below(0, kPairLabels.size()));
    const std::uint64_t animal = own.below(1, animals.size()),
                        colour = own.below(2, colours.size());  // of the hypothesis
    const std::uint64_t other_animal =
                            (animal + 1 + own.below(3, animals.size() - 1)) % animals.size(),
                        other_colour =
                            (colour + 1 + own.below(4, colours.size() - 1)) % colours.size();
    const std::string fact = label == 0   ? say(animal, other_colour)
                             : label == 1 ? say(animal, colour)
                                          : say(other_animal, own.below(5, colours.size()));
    pairs.push_back(
        {concat(openings[own.below(6, openings.size())], fact), say(animal, colour), label});
  }
  return pairs;
}

void append_row(PackedRows& rows, const PairSet& set, const SentencePair& pair, std::int64_t length,
                bool hypothesis_only) {
  require<ConfigError>(
      length >= 5, "[pairs] --length: expected 5 and more, room for a word of each sentence, got ",
      length);
  std::size_t premise = hypothesis_only ? 0 : pair.premise.size(),
              hypothesis = pair.hypothesis.size();
  const std::size_t room = static_cast<std::size_t>(length) - (hypothesis_only ? 2 : 3);
  while (premise + hypothesis > room) --(premise > hypothesis ? premise : hypothesis);
  const std::size_t begin = rows.tokens.size();
  const auto put = [&](std::int32_t token, std::int32_t segment) {
    rows.tokens.push_back(token);
    rows.segments.push_back(segment);
  };
  put(set.classify(), 0);
  if (!hypothesis_only) {
    for (std::size_t i = 0; i < premise; ++i) put(pair.premise[i], 0);
    put(set.separator(), 0);
  }
  for (std::size_t i = 0; i < hypothesis; ++i) put(pair.hypothesis[i], 1);
  put(set.separator(), 1);
  rows.lengths.push_back(static_cast<std::int64_t>(rows.tokens.size() - begin));
}

namespace {

/// Hides the words of each row, in reading order, that choose(key, words) says.
template <class Choose>
MaskedRows mask_chosen(PackedRows& rows, const PairSet& set, const std::vector<Key>& keys,
                       const Choose& choose) {
  MaskedRows masked;
  std::int64_t begin = 0;
  for (std::size_t r = 0; r < rows.lengths.size(); ++r) {
    std::vector<std::int64_t> words;  // places of the row's words, in reading order
    for (std::int64_t i = begin; i < begin + rows.lengths[r]; ++i) {
      const std::int32_t token = rows.tokens[static_cast<std::size_t>(i)];
      if (token != set.classify() && token != set.separator()) words.push_back(i);
    }
    begin += rows.lengths[r];
    const Key hidden = keys[r].fold("hidden");
    for (const std::int64_t w : choose(keys[r].fold("chosen"), words.size())) {
      const std::int64_t place = words[static_cast<std::size_t>(w)];
      std::int32_t& token = rows.tokens[static_cast<std::size_t>(place)];
      masked.places.push_back(place);
      masked.targets.push_back(token);
      const auto counter = 2 * static_cast<std::uint64_t>(w);
      const std::uint64_t fate = hidden.below(counter, 10);
      if (fate < 8) token = set.mask();
      if (fate == 8)
        token = static_cast<std::int32_t>(
            hidden.below(counter + 1, static_cast<std::uint64_t>(set.vocabulary.size())));
    }
  }
  return masked;
}

}  // namespace

MaskedRows mask_words(PackedRows& rows, const PairSet& set, const std::vector<Key>& keys) {
  return mask_chosen(rows, set, keys, [](Key key, std::size_t words) {
    std::vector<std::int64_t> order(words);
    std::iota(order.begin(), order.end(), 0);
    shuffle_indices(key, order);
    order.resize(std::max<std::size_t>(1, (3 * words + 10) / 20));
    std::ranges::sort(order);
    return order;
  });
}

MaskedRows mask_words(PackedRows& rows, const PairSet& set, const std::vector<Key>& keys,
                      double rate) {
  require<ConfigError>(rate > 0 && rate <= 1,
                       "[mask] expected a masking rate above 0 and at most 1, got ", rate);
  return mask_chosen(rows, set, keys, [rate](Key key, std::size_t words) {
    std::vector<std::int64_t> chosen;
    std::size_t lowest = 0;
    for (std::size_t w = 0; w < words; ++w) {
      if (key.uniform(w) < key.uniform(lowest)) lowest = w;
      if (key.uniform(w) < rate) chosen.push_back(static_cast<std::int64_t>(w));
    }
    if (chosen.empty()) chosen.push_back(static_cast<std::int64_t>(lowest));
    return chosen;
  });
}

}  // namespace ebb
