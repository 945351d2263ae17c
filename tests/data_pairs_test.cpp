#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/pairs.h"
#include "tests/data_files.h"
#include "tests/errors.h"
#include "tests/scratch.h"

using namespace ebb;
using ebb::test::contains;
using ebb::test::data_error_of;

namespace {

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

PairFile parse(const std::string& text, std::string_view language = "") {
  return parse_pairs({"f.tsv", text}, language);
}

PairSet small_set() {
  const Scratch scratch;
  write(scratch / "train.tsv",
        "premise\thypo\tlabel\na b c d\te f\tneutral\na\tb b b\tcontradictory\n");
  write(scratch / "test.tsv", "premise\thypo\tlabel\na zebra\te\tentailment\n");
  return open_pairs(scratch.path(), {});
}

}  // namespace

TEST_CASE("both layouts give premise, hypothesis and label, whatever the order of the columns") {
  const PairFile xnli =
      parse("premise\thypo\tlabel\nA man, asleep.\tHe  sleeps\tentailment\r\nx\ty\tcontradictory");
  REQUIRE(xnli.pairs.size() == 2);
  CHECK(xnli.pairs[0].premise == "A man , asleep .");
  CHECK(xnli.pairs[0].hypothesis == "He sleeps");
  CHECK(xnli.pairs[0].label == 1);
  CHECK(xnli.pairs[1].label == 0);

  const std::string snli =
      "language\tgold_label\tsentence2\tother\tsentence1\nde\tneutral\tzwei\t\teins\nen\t-"
      "\ttwo\t\tone\nde\t-"
      "\tb\t\ta\nen\tcontradiction\ttwo\t\tone\n";
  const PairFile all = parse(snli), german = parse(snli, "de");
  REQUIRE(all.pairs.size() == 2);
  CHECK(all.pairs[0].premise == "eins");
  CHECK(all.pairs[0].hypothesis == "zwei");
  CHECK(all.pairs[0].label == 2);
  CHECK(all.without_label == 2);
  CHECK(all.other_languages == 0);
  CHECK(german.pairs.size() == 1);
  CHECK(german.without_label == 1);
  CHECK(german.other_languages == 2);
  CHECK(parse("premise\thypo\tlabel\n\xc3\xbc\t\"a\tneutral\n").pairs[0].hypothesis ==
        "\" a");  // no quoting
}

TEST_CASE("words stand between blanks, and every punctuation mark is one") {
  const std::array<std::array<std::string, 2>, 5> cases{
      {{"a  b", "a b"},
       {"don't", "don ' t"},
       {" (x).. ", "( x ) . ."},
       {"<eos> <unk>", "< eos > < unk >"},  // nobody writes special tokens
       {" \f", ""}}};
  for (const auto& c : cases) CHECK(words_of(c[0]) == c[1]);
}

TEST_CASE("what is no file of pairs is refused with its place and what to do") {
  const std::string header = "premise\thypo\tlabel\n";
  struct Case {
    const char* why;
    std::string text, message;
  };
  const Case cases[] = {
      {"empty", "", "f.tsv: expected a header and rows, got an empty file"},
      {"header only", header, "there are no rows to use: 0 without a label"},
      {"only rows without a label", header + "a\tb\t-\n",
       "there are no rows to use: 1 without a label"},
      {"a column is missing", "premise\tlabel\na\tneutral\n",
       "line 1: expected a header that names the columns premise, hypo and label"},
      {"half of one layout and half of the other", "premise\tsentence2\tlabel\na\tb\tneutral\n",
       "line 1: expected a header"},
      {"no header", "a\tb\tneutral\n", "got 'a\tb\tneutral'"},
      {"a column twice", "premise\thypo\tlabel\tlabel\n",
       "line 1: the column 'label' is there twice"},
      {"too few fields", header + "a\tb\tneutral\na\tneutral\n",
       "line 3: expected 3 fields between tabs as in the header, got 2"},
      {"too many fields", header + "a\tb\tc\tneutral\n",
       "line 2: expected 3 fields between tabs as in the header, got 4"},
      {"an empty line", header + "\na\tb\tneutral\n",
       "line 2: expected 3 fields between tabs as in the header, got "},
      {"unknown label", header + "a\tb\tNeutral\n",
       "line 2: expected a label of contradiction (or contradictory), entailment, neutral or -, "
       "got 'Neutral'"},
      {"no label", header + "a\tb\t\n", "got ''"},
      {"empty premise", header + " \tb\tneutral\n", "line 2: the premise has no words"},
      {"empty hypothesis", header + "a\t\tneutral\n", "line 2: the hypothesis has no words"},
      {"not UTF-8", header + "a\tb\tneutral\na\t\xff\tneutral\n", "f.tsv: line 3, byte "},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string message = data_error_of([&] { static_cast<void>(parse(c.text)); });
    CAPTURE(message);
    CHECK(contains(message, c.message));
  }
  CHECK(contains(data_error_of([&] {
                   static_cast<void>(parse(
                       "sentence1\tsentence2\tgold_label\tlanguage\na\tb\tneutral\tde\n", "fr"));
                 }),
                 "1 in other languages than 'fr'"));
}

TEST_CASE(
    "folders are opened by the names of their files, and the words are those of the training "
    "part") {
  const PairSet set = small_set();
  // <unk> <eos> b a c d e f: b four times, a twice, the others once, ties in the order of bytes.
  REQUIRE(set.vocabulary.size() == 8);
  CHECK(set.vocabulary.token(set.separator()) == Vocabulary::kEndOfLine);
  CHECK(set.tokens() == 10);
  REQUIRE(set.train.size() == 2);
  CHECK(set.train[0].premise == TokenIds{3, 2, 4, 5});
  CHECK(set.train[1].hypothesis == TokenIds{2, 2, 2});
  CHECK(set.test[0].premise == TokenIds{3, 0});  // a word that training lacks
  CHECK(majority_of(set.test).label == 1);
  CHECK(majority_of(set.test).share == 1.0);

  const Scratch scratch;
  const auto open = [&](const PairOptions& options) { return open_pairs(scratch.path(), options); };
  CHECK(contains(data_error_of([&] { static_cast<void>(open({})); }), "has no train.tsv"));
  write(scratch / "multinli.train.de.tsv", "premise\thypo\tlabel\neins\tzwei\tneutral\n");
  CHECK(contains(data_error_of([&] { static_cast<void>(open({.language = "de"})); }),
                 "has nothing to score"));
  write(scratch / "xnli.dev.tsv",
        "language\tgold_"
        "label\tsentence1\tsentence2\nen\tneutral\tone\ttwo\nde\tneutral\teins\tzwei\n");
  const PairSet german = open({.language = "de"});
  CHECK(german.validation.size() == 1);
  CHECK(german.other_languages == 1);
  CHECK(contains(data_error_of([&] { static_cast<void>(open({})); }), "has no train.tsv"));
  CHECK(contains(data_error_of([&] { static_cast<void>(open_pairs(scratch / "none", {})); }),
                 "no such folder"));
  CHECK(open({.vocabulary = 3, .language = "de"}).train[0].premise !=
        open({.vocabulary = 3, .language = "de"}).train[0].hypothesis);
  CHECK_THROWS_AS(static_cast<void>(open({.vocabulary = 2, .language = "de"})), ConfigError);
}

TEST_CASE("rows are packed without padding, and the longer sentence is cut first") {
  const PairSet set = small_set();
  const std::int32_t cls = set.classify(), sep = set.separator();
  PackedRows rows;
  append_row(rows, set, set.train[0], 100, false);
  append_row(rows, set, set.train[0], 7, false);  // 4 + 2 words into 4 places
  append_row(rows, set, set.train[0], 5, false);
  append_row(rows, set, set.train[1], 5, true);
  CHECK(rows.lengths == std::vector<std::int64_t>{9, 7, 5, 5});
  CHECK(rows.tokens == TokenIds{cls, 3, 2,   4,   5, sep, 6, 7,   sep, cls, 3, 2, sep,
                                6,   7, sep, cls, 3, sep, 6, sep, cls, 2,   2, 2, sep});
  CHECK(rows.segments == std::vector<std::int32_t>{0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0,
                                                   1, 1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1});
  CHECK_THROWS_AS(append_row(rows, set, set.train[0], 4, false), ConfigError);
}

TEST_CASE("masks hide 15 in 100 words of a row, at least one, by keys of the row alone") {
  PairSet set = small_set();
  const SentencePair pair{TokenIds(30, 4), TokenIds(70, 5), 0};
  std::map<std::int64_t, int> chosen;
  std::int64_t hidden = 0, kept = 0, random = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    PackedRows rows;
    append_row(rows, set, {{2}, {3}, 0}, 200, false);  // 2 words: 0.8 rounds to 0, so 1
    append_row(rows, set, pair, 200, false);
    const PackedRows before = rows;
    const MaskedRows masked = mask_words(rows, set, {Key(i), Key(i).fold(7)});
    REQUIRE(masked.places.size() == 16);
    REQUIRE(std::ranges::is_sorted(masked.places));
    for (std::size_t k = 0; k < masked.places.size(); ++k) {
      const auto at = static_cast<std::size_t>(masked.places[k]);
      CHECK(masked.targets[k] == before.tokens[at]);
      REQUIRE(before.tokens[at] != set.classify());
      REQUIRE(before.tokens[at] != set.separator());
      ++chosen[masked.places[k]];
      (rows.tokens[at] == set.mask()          ? hidden
       : rows.tokens[at] == before.tokens[at] ? kept
                                              : random) += 1;
    }
    std::int64_t changed = 0;
    for (std::size_t t = 0; t < rows.tokens.size(); ++t)
      changed += rows.tokens[t] != before.tokens[t] ? 1 : 0;
    CHECK(changed <= 16);
    PackedRows alone;
    append_row(alone, set, pair, 200, false);
    CHECK(mask_words(alone, set, {Key(i).fold(7)}).targets.size() == 15);
    CHECK(std::ranges::equal(alone.tokens, std::span(rows.tokens).subspan(5)));
  }
  // 6,400 choices; 5 standard deviations of a binomial are 0.025 and less. A random word is the
  // same one 1 time in 8.
  CHECK(std::abs(static_cast<double>(hidden) / 6400 - 0.8) < 0.025);
  CHECK(std::abs(static_cast<double>(kept) / 6400 - 0.1 * 9 / 8) < 0.025);
  CHECK(std::abs(static_cast<double>(random) / 6400 - 0.1 * 7 / 8) < 0.025);
  CHECK(chosen.size() == 102);  // every word of both rows
}

TEST_CASE("words are masked at the rate asked for, within sampling error, and one at least") {
  const PairSet set = small_set();
  constexpr std::uint64_t kRows = 400;
  constexpr double kWords = 100;
  for (const double rate : {0.15, 0.3, 0.5}) {
    double chosen = 0;
    for (std::uint64_t i = 0; i < kRows; ++i) {
      PackedRows rows;
      append_row(rows, set, {TokenIds(30, 4), TokenIds(70, 5), 0}, 200, false);
      const MaskedRows masked = mask_words(rows, set, {Key(i)}, rate);
      chosen += static_cast<double>(masked.places.size());
      REQUIRE(std::ranges::is_sorted(masked.places));
      PackedRows tiny;
      append_row(tiny, set, {{2}, {3}, 0}, 200, false);
      CHECK(mask_words(tiny, set, {Key(i)}, 1e-9).places.size() == 1);
    }
    const double words = static_cast<double>(kRows) * kWords;
    CHECK(std::abs(chosen / words - rate) < 5 * std::sqrt(rate * (1 - rate) / words));
  }
  PackedRows rows;
  append_row(rows, set, {{2}, {3}, 0}, 200, false);
  CHECK(mask_words(rows, set, {Key(1)}, 1).places.size() == 2);
  CHECK_THROWS_AS(mask_words(rows, set, {Key(1)}, 0), ConfigError);
}

TEST_CASE("the embedded pairs need both sentences") {
  const std::vector<PairTexts> pairs = embedded_pairs(6000, Key(3));
  std::map<std::string, std::array<int, 3>> by_hypothesis;
  for (const PairTexts& pair : pairs) {
    ++by_hypothesis[pair.hypothesis][static_cast<std::size_t>(pair.label)];
    const std::string animal = pair.hypothesis.substr(0, pair.hypothesis.find(" is ")) + " is ";
    const bool said = contains(pair.premise + " ", pair.hypothesis + " "),
               spoken = contains(pair.premise, animal);
    CHECK(pair.label == (said ? 1 : spoken ? 0 : 2));
  }
  CHECK(by_hypothesis.size() == 48);
  for (const auto& [text, counts] : by_hypothesis) {
    for (const int count : counts)
      CHECK(std::abs(count - 6000 / 144) < 33);  // 5 standard deviations of a Poisson count of 42
  }
  const std::vector<PairTexts> again = embedded_pairs(2, Key(3));
  CHECK(again[1].premise == pairs[1].premise);
  CHECK(again[1].label == pairs[1].label);
}

TEST_CASE("the SNLI subset has the rows that its description counts") {
  const auto folder = data_test::real_data("snli-small");
  if (folder.empty()) return;
  const PairSet set = open_pairs(folder, {});
  CHECK(set.train.size() == 9842);
  CHECK(set.test.size() == 7822);
  CHECK(set.validation.empty());
}
