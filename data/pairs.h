#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "data/graph_text.h"
#include "data/text.h"

namespace ebb {

/// What a hypothesis is to its premise; a label is a place in this list.
inline constexpr std::array<std::string_view, 3> kPairLabels{"contradiction", "entailment",
                                                             "neutral"};

struct PairTexts {
  std::string premise{}, hypothesis{};
  std::int32_t label = 0;
};

/// The rows of one file.
struct PairFile {
  std::vector<PairTexts> pairs{};
  std::int64_t without_label = 0, other_languages = 0;  ///< rows left out
  bool has_languages = false;                           ///< each row names its language
};

/// Reads sentence pairs, one row per line, fields between single tabs, without quoting. The first
/// line names the columns:
///
/// | layout | premise | hypothesis | label | language |
/// |---|---|---|---|---|
/// | XNLI's training files | `premise` | `hypo` | `label` | |
/// | SNLI, MultiNLI, XNLI's development and test files | `sentence1` | `sentence2` | `gold_label` | `language`, if there is one |
///
/// Other columns are not read. Labels are those of kPairLabels, or `contradictory` for the first.
/// Rows labelled `-`, on which the annotators did not agree, and rows of other languages than the
/// one asked for (empty: all) are left out and counted.
/// @throws DataError naming line, expectation and value for a header without these columns, a row
/// with another number of fields, an unknown label, a sentence without words, text that is not
/// UTF-8, or a file without rows that are left
PairFile parse_pairs(const NamedText& file, std::string_view language);

/// A sentence's words with single blanks between them: what stands between blanks, where every
/// ASCII punctuation mark is a word of its own. Letters keep their case.
std::string words_of(std::string_view sentence);

struct SentencePair {
  TokenIds premise{}, hypothesis{};
  std::int32_t label = 0;
};

/// Pairs to train on and pairs to be scored on. Token ids are those of the vocabulary, then
/// kClassify and kMask.
struct PairSet {
  std::string name{};
  Vocabulary vocabulary{};
  std::vector<SentencePair> train{}, validation{}, test{};  ///< validation or test may be empty
  std::int64_t without_label = 0, other_languages = 0;
  bool has_languages = false;  ///< whether rows or files name theirs

  /// Entries of an embedding table.
  [[nodiscard]] std::int64_t tokens() const { return vocabulary.size() + 2; }
  [[nodiscard]] std::int32_t separator() const { return 1; }  ///< the vocabulary's `<eos>`
  [[nodiscard]] std::int32_t classify() const {
    return static_cast<std::int32_t>(vocabulary.size());
  }
  [[nodiscard]] std::int32_t mask() const { return classify() + 1; }

  /// SHA-256 of the ids and labels of a part, for the record.
  static std::string fingerprint(const std::vector<SentencePair>& part);
};

/// The most frequent label of a part and its share: what a classifier that does not look reaches.
struct Majority {
  std::int32_t label = 0;
  double share = 0;
};
Majority majority_of(const std::vector<SentencePair>& part);

struct PairOptions {
  std::int64_t vocabulary =
      50'000;              ///< most words, with `<unk>` and `<eos>`; the rarer ones become `<unk>`
  std::string language{};  ///< which to read of files that have several; empty: all rows
};

/// Pairs without labels, which are all 0: one row per line, with the columns of parse_pairs if the
/// first line names them, else premise, a tab, and hypothesis.
/// @throws DataError naming line, expectation and value for a row without both sentences
std::vector<SentencePair> read_unlabelled_pairs(const std::string& path,
                                                const Vocabulary& vocabulary);

/// Opens sentence pairs by name: `embedded` for embedded_pairs(), or a folder with the files
/// (plain, .gz or .xz; the first of)
///
/// | part | names |
/// |---|---|
/// | train | `train.tsv`, `multinli.train.LANGUAGE.tsv`, `snli_1.0_train.txt` |
/// | validation | `valid.tsv`, `dev.tsv`, `xnli.dev.tsv`, `snli_1.0_dev.txt` |
/// | test | `test.tsv`, `xnli.test.tsv`, `snli_1.0_test.txt` |
///
/// The words are those of the training part.
/// @throws DataError if the training part or both others are missing, or as parse_pairs
PairSet open_pairs(const std::string& where, const PairOptions& options);

/// `count` pairs whose label needs both sentences. Each says of one animal out of eight that it has
/// one colour out of six: entailment if both say the same, contradiction if they give one animal
/// two colours, neutral if they speak of different animals. What the hypothesis says is independent
/// of the label, so that alone it is of no use. Premises open in four ways of different lengths. A
/// pure function of the key.
std::vector<PairTexts> embedded_pairs(std::int64_t count, Key key);

/// Rows of tokens one after the other, without padding.
struct PackedRows {
  TokenIds tokens{};
  std::vector<std::int32_t>
      segments{};  ///< of each token: 0 up to the first separator of a pair, then 1
  std::vector<std::int64_t> lengths{};  ///< tokens of each row
};

/// Appends the row [classify] premise [separator] hypothesis [separator]; without the premise
/// [classify] hypothesis [separator], its hypothesis in segment 1 all the same. While a row has
/// more than `length` tokens, the longer sentence loses its last word, the hypothesis if both are
/// as long.
/// @throws ConfigError unless length >= 5, room for a word of each
void append_row(PackedRows& rows, const PairSet& set, const SentencePair& pair, std::int64_t length,
                bool hypothesis_only);

/// Tokens of a row chosen to be predicted, for masked language models.
struct MaskedRows {
  std::vector<std::int64_t> places{};   ///< of the chosen tokens among those of all rows, ascending
  std::vector<std::int32_t> targets{};  ///< what they were
};

/// Chooses max(1, floor(0.15 n + 1/2)) of the n words of every row (all tokens but classify and
/// separators) and hides them: 8 of 10 become mask(), 1 of 10 a word of the vocabulary drawn
/// uniformly, 1 of 10 stays. Row r draws from key(r) and nothing else: an order of its words by
/// shuffle_indices under key.fold("chosen"), of which the first are taken; then word w of the row
/// (in reading order) draws counter 2w of key.fold("hidden") for what becomes of it and 2w + 1 for
/// the random word. Source: Devlin et al., "BERT", NAACL 2019.
MaskedRows mask_words(PackedRows& rows, const PairSet& set, const std::vector<Key>& keys);
/// The same with every word chosen by itself at this rate, if draw w of key.fold("chosen") is below
/// it; of a row without one, the word of the lowest draw. Source: Ankner et al., arXiv 2305.15096.
/// @throws ConfigError unless 0 < rate <= 1
MaskedRows mask_words(PackedRows& rows, const PairSet& set, const std::vector<Key>& keys,
                      double rate);

}  // namespace ebb
