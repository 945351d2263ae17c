#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/text.h"
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

}  // namespace

TEST_CASE("bytes are the tokens of a text file, whose last 5 % validate") {
  const Scratch scratch;
  std::string text;
  for (int i = 0; i < 101; ++i) text += static_cast<char>(i % 3 == 0 ? 'b' : 250 + i % 3);
  write(scratch / "a.txt", text);
  const Corpus corpus = open_text(scratch / "a.txt", {});
  CHECK(corpus.vocabulary.size() == 3);
  CHECK(corpus.vocabulary.token(0) == "b");
  CHECK(corpus.vocabulary.token(2) == "\xfc");
  CHECK(corpus.train.size() == 95);  // floor of 95.95
  CHECK(corpus.validation.size() == 6);
  CHECK(corpus.test.empty());
  CHECK(corpus.vocabulary.decode(corpus.train) + corpus.vocabulary.decode(corpus.validation) ==
        text);
  CHECK(
      contains(data_error_of([&] { static_cast<void>(corpus.vocabulary.encode("bbx", "prompt")); }),
               "prompt: byte 2 is 120"));
}

TEST_CASE("words come from folders of lines, most frequent first, and every line ends in <eos>") {
  const Scratch scratch;
  write(scratch / "train.txt", " the cat \n\nthe\tdog <unk>\r\nthe cat");
  write(scratch / "valid.txt", "the bird\n");
  const Corpus corpus = open_text(scratch.path(), {.unit = TokenUnit::word});
  const std::vector<std::string> words{"<unk>", "<eos>", "the", "cat", "dog"};
  REQUIRE(corpus.vocabulary.size() == 5);
  for (std::size_t i = 0; i < words.size(); ++i)
    CHECK(corpus.vocabulary.token(static_cast<std::int32_t>(i)) == words[i]);
  CHECK(corpus.train == TokenIds{2, 3, 1, 1, 2, 4, 0, 1, 2, 3, 1});
  CHECK(corpus.validation == TokenIds{2, 0, 1});  // a word that training lacks is <unk>
  CHECK(corpus.test.empty());
  CHECK(corpus.vocabulary.decode(corpus.train) == "the cat\n\nthe dog <unk>\nthe cat\n");
  write(scratch / "test.txt", "dog");
  CHECK(open_text(scratch.path(), {.unit = TokenUnit::word}).test == TokenIds{4, 1});

  const Corpus small = open_text(scratch.path(), {.unit = TokenUnit::word, .vocabulary = 3});
  CHECK(small.train ==
        TokenIds{2, 0, 1, 1, 2, 0, 0, 1, 2, 0, 1});  // what does not fit is <unk> too
  CHECK_THROWS_AS(
      static_cast<void>(open_text(scratch.path(), {.unit = TokenUnit::word, .vocabulary = 2})),
      ConfigError);
  CHECK(open_text(scratch.path(), {}).vocabulary.size() == 20);  // the bytes of all parts
}

TEST_CASE("words of a file are split at the end of a line") {
  const Scratch scratch;
  std::string text;
  for (int i = 0; i < 100; ++i) text += concat("line ", i, "\n");
  write(scratch / "a.txt", text);
  const Corpus corpus = open_text(scratch / "a.txt", {.unit = TokenUnit::word});
  CHECK((corpus.train.size() + corpus.validation.size()) == 300);
  CHECK(corpus.train.back() == 1);
  CHECK(corpus.train.size() % 3 == 0);
}

TEST_CASE("what is no text is refused with its place") {
  const Scratch scratch;
  CHECK(contains(data_error_of([&] { static_cast<void>(open_text(scratch / "none", {})); }),
                 "no such file or folder"));
  CHECK(contains(data_error_of([&] { static_cast<void>(open_text(scratch.path(), {})); }),
                 "has no train.txt"));
  write(scratch / "train.txt", "some words\n");
  CHECK(contains(data_error_of([&] { static_cast<void>(open_text(scratch.path(), {})); }),
                 "has no valid.txt"));
  write(scratch / "valid.txt", "");
  CHECK(
      contains(data_error_of([&] { static_cast<void>(open_text(scratch.path(), {})); }), "empty"));
  write(scratch / "one.txt", "a");
  CHECK(contains(data_error_of([&] { static_cast<void>(open_text(scratch / "one.txt", {})); }),
                 "too few"));
  write(scratch / "line.txt", "one line has no end of line to be split at");
  CHECK(contains(data_error_of([&] {
                   static_cast<void>(open_text(scratch / "line.txt", {.unit = TokenUnit::word}));
                 }),
                 "at the end of a line"));

  struct Case {
    const char* why;
    std::string bytes;
  };
  const Case bad[] = {{"a continuation byte first", "\x80"},
                      {"cut short", "\xe2\x82"},
                      {"overlong", "\xc0\xaf"},
                      {"overlong in three", "\xe0\x9f\xbf"},
                      {"a surrogate", "\xed\xa0\x80"},
                      {"above U+10FFFF", "\xf4\x90\x80\x80"},
                      {"no such lead", "\xff"}};
  for (const Case& c : bad) {
    CAPTURE(std::string(c.why));
    const std::string message = data_error_of(
        [&] { static_cast<void>(Vocabulary::of_words("ab\nc" + c.bytes, 9, "part")); });
    CHECK(contains(message, "part: line 2, byte 4 of the text is not UTF-8"));
  }
  for (const char* good : {"\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(Vocabulary::of_words(good, 9, "part").size() == 3);
  }
}

TEST_CASE(
    "odd texts have their rules: NUL, byte order marks, blanks only, words named as tokens are, "
    "ties") {
  const auto words = [](const std::string& text) {
    return Vocabulary::of_words(text, 9, "part").encode(text, "part");
  };
  CHECK(words(std::string("a\0b a", 5)) == TokenIds{3, 2, 1});  // NUL is a part of its word
  const Vocabulary marked = Vocabulary::of_words(
      "\xef\xbb\xbf"
      "a a",
      9, "part");
  CHECK(marked.token(3) ==
        "\xef\xbb\xbf"
        "a");  // and so is a byte order mark
  CHECK(words(" \t\r\n \n\n") == TokenIds{1, 1, 1});
  CHECK(words("a <eos> <unk>\n") == TokenIds{2, 1, 0, 1});
  const Vocabulary ties = Vocabulary::of_words("b b z a \xc3\xa4 B", 5, "part");
  REQUIRE(ties.size() == 5);
  CHECK(ties.token(2) == "b");
  CHECK(ties.token(3) == "B");
  CHECK(ties.token(4) == "a");  // z and what is beyond ASCII did not fit

  const Scratch scratch;
  write(scratch / "train.txt", "some words\n");
  for (const char* part : {"valid", "test"}) {
    write(scratch / "valid.txt", "more\n");
    write(scratch / concat(part, ".txt"), "fine\n\xff\n");
    CHECK(contains(data_error_of([&] {
                     static_cast<void>(open_text(scratch.path(), {.unit = TokenUnit::word}));
                   }),
                   concat(part, ": line 2, byte 5 of the text is not UTF-8")));
    const Vocabulary bytes = open_text(scratch.path(), {}).vocabulary;
    CHECK(bytes.token(static_cast<std::int32_t>(bytes.size()) - 1) == "\xff");
  }
}

TEST_CASE("the embedded text is always the same, in whole lines, and its parts differ") {
  const Corpus corpus = open_text("embedded", {});
  CHECK(corpus.train.size() >= 400'000);
  CHECK(corpus.train.size() < 400'200);
  CHECK(corpus.vocabulary.decode(corpus.train).back() == '\n');
  CHECK(corpus.validation != corpus.test);
  CHECK(Corpus::fingerprint(corpus.train) ==
        "c85b3aaebcd92b50b7221414537fa8b83f3fc8279291b1b9dcba1119dfd857a8");
  CHECK(open_text("embedded", {.unit = TokenUnit::word}).vocabulary.size() < 200);
}

TEST_CASE("the shared sets have the sizes that their descriptions name") {
  if (const auto folder = data_test::real_data("austen-ptbformat"); !folder.empty()) {
    const Corpus austen = open_text(folder, {.unit = TokenUnit::word});
    CHECK(austen.train.size() == 654'654);
    CHECK(austen.validation.size() == 28'162);
    CHECK(austen.test.size() == 35'576);
  }
  if (const auto folder = data_test::real_data("tinyshakespeare"); !folder.empty()) {
    const Corpus shakespeare = open_text(folder / "input.txt", {});
    CHECK(shakespeare.vocabulary.size() == 65);
    CHECK(shakespeare.train.size() == 1'059'624 * 95 / 100);
  }
}

TEST_CASE("a vocabulary comes back from its text, and from no other") {
  const std::string text = "the cat and the \xc3\xa4ther cat\nthe end\n";
  for (const Vocabulary& vocabulary :
       {Vocabulary::of_bytes(text), Vocabulary::of_words(text, 100, "x"),
        Vocabulary::of_byte_pairs(text, 264)}) {
    CAPTURE(to_text(vocabulary.unit()));
    const Vocabulary again = Vocabulary::load(vocabulary.save(), "x");
    CHECK(again.fingerprint() == vocabulary.fingerprint());
    CHECK(again.unit() == vocabulary.unit());
    CHECK(again.encode(text, "x") == vocabulary.encode(text, "x"));
    const std::string saved = vocabulary.save();
    CHECK_THROWS_AS(Vocabulary::load(saved.substr(0, saved.size() - 1), "x"), DataError);
    CHECK_THROWS_AS(Vocabulary::load(saved + "\n", "x"), DataError);
  }
  struct Case {
    const char *text, *expected;
  };
  const Case cases[] = {
      {"", "is no vocabulary"},
      {"ebb-vocabulary-2 byte 1\n7\n", "is no vocabulary"},
      {"ebb-vocabulary-1 letter 1\n7\n", "is no vocabulary"},
      {"ebb-vocabulary-1 byte 9\n7\n", "not the whole of one"},
      {"ebb-vocabulary-1 byte 1\n256\n", "line 2: expected a number of 0 to 255, got '256'"},
      {"ebb-vocabulary-1 byte 2\n7\n7\n", "there twice"},
      {"ebb-vocabulary-1 byte 0\n", "tokens are missing"},
      {"ebb-vocabulary-1 word 1\n<unk>\n", "tokens are missing"},
      {"ebb-vocabulary-1 bpe 1\n1 256\n", "line 2: expected a number of 0 to 255, got '256'"},
      {"ebb-vocabulary-1 bpe 1\n1\n", "line 2: expected two numbers, got '1'"},
      {"ebb-vocabulary-1 bpe 2\n1 2\n1 2\n", "is there already"}};
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK_THROWS_WITH_AS(static_cast<void>(Vocabulary::load(c.text, "x")),
                         doctest::Contains(c.expected), DataError);
  }
}
