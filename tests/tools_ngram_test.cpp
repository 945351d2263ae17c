#include <doctest/doctest.h>

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
  CHECK(line == "order\tsplit\ttokens\tnats\tperplexity");
  double before = 100;
  for (const int order : {1, 2, 3}) {
    for (const char* split : {"validation", "test"}) {
      int shown = 0, tokens = 0;
      double nats = 0, perplexity = 0;
      std::string name;
      in >> shown >> name >> tokens >> nats >> perplexity;
      REQUIRE(!in.fail());
      CHECK(shown == order);
      CHECK(name == split);
      CHECK(std::abs(tokens - 20'000) < 100);  // whole lines
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
