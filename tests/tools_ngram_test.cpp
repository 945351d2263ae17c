#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>

#include "core/error.h"
#include "tools/ngram_command.h"

using namespace ebb;

TEST_CASE(
    "ngram prints a line for each order and split, better with each order on text from a grammar") {
  std::ostringstream out;
  tools::ngram({.data = "embedded", .order = 3}, out);
  std::istringstream in(out.str());
  std::string line;
  REQUIRE(std::getline(in, line));
  CHECK(line == "order\tsplit\ttokens\tnats\tperplexity\tbits_per_byte");
  double before = 100;
  for (const int order : {1, 2, 3}) {
    for (const char* split : {"validation", "test"}) {
      int shown = 0, tokens = 0;
      double nats = 0, perplexity = 0, bits = 0;
      std::string name;
      in >> shown >> name >> tokens >> nats >> perplexity >> bits;
      REQUIRE(!in.fail());
      CHECK(shown == order);
      CHECK(name == split);
      CHECK(std::abs(tokens - 20'000) < 100);               // whole lines
      CHECK(std::abs(bits - nats / std::log(2.0)) < 2e-4);  // a token is a byte
      if (name == "validation") {
        CHECK(nats < before);
        before = nats;
      }
    }
  }
  CHECK(before > 0);
  in >> line;
  CHECK(in.fail());
  CHECK_THROWS_AS(tools::ngram({.order = 9}, out), ConfigError);
  CHECK_THROWS_AS(tools::ngram({.data = "/nonexistent"}, out), DataError);
}

TEST_CASE("n-grams have the units of the models, and score in them") {
  struct Case {
    const char *unit, *vocabulary, *columns;
  };
  const Case cases[] = {{"word", "", "order\tsplit\ttokens\tnats\tperplexity"},
                        {"word", "50", "order\tsplit\ttokens\tnats\tperplexity"},
                        {"bpe", "300", "order\tsplit\ttokens\tnats\tperplexity\tbits_per_byte"}};
  for (const Case& c : cases) {
    CAPTURE(c.unit);
    std::ostringstream out;
    tools::ngram({.unit = c.unit, .vocabulary = c.vocabulary, .order = 1}, out);
    std::istringstream in(out.str());
    std::string line, first;
    std::getline(in, line);
    CHECK(line == c.columns);
    int order = 0, tokens = 0;
    double nats = 0, perplexity = 0, bits = 0;
    in >> order >> first >> tokens >> nats >> perplexity;
    CHECK(tokens < 15'000);  // of 20,000 bytes
    if (std::string(c.unit) != "bpe") continue;
    in >> bits;
    CHECK(std::abs(bits - nats * tokens / 20'000 / std::log(2.0)) < 0.02 * bits);
  }
  std::ostringstream out;
  CHECK_THROWS_AS(tools::ngram({.unit = "letter"}, out), ConfigError);
  CHECK_THROWS_AS(tools::ngram({.vocabulary = "300"}, out), ConfigError);  // of bytes
  CHECK_THROWS_AS(tools::ngram({.unit = "word", .vocabulary = "2"}, out), ConfigError);
}
