#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/key.h"
#include "core/text.h"

using namespace ebb;

TEST_CASE("reals print as text that reads back to the same bits") {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const double x = std::bit_cast<double>(Key(1).bits(i));
    if (std::isnan(x)) continue;
    double back = 0;
    CAPTURE(to_text(x));
    CHECK((parse_number(to_text(x), back) &&
           std::bit_cast<std::uint64_t>(back) == std::bit_cast<std::uint64_t>(x)));
  }
  CHECK(to_text(0.1) == "0.1");
  CHECK(to_text(0.1f) == "0.1");
}

TEST_CASE("integers print whole, 128-bit ones too") {
  CHECK(to_text(uint128{0}) == "0");
  CHECK(to_text(~uint128{0}) == "340282366920938463463374607431768211455");
  CHECK(to_text(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(concat("k=", 3, ", ", true, ", ", 'c', ", ", 2u) == "k=3, true, c, 2");
}

TEST_CASE("numbers are parsed whole or not at all") {
  std::int64_t n = 7;
  for (const char* text : {"", " 1", "1 ", "1x", "+1", "0x10", "9223372036854775808", "1.5"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_number(text, n));
    CHECK(n == 7);
  }
  CHECK(parse_number("-12", n));
  CHECK(n == -12);
  double x = 7;
  for (const char* text : {"", "1,5", "1e", "--1", "1e999"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_number(text, x));
    CHECK(x == 7);
  }
  CHECK(parse_number("1e-3", x));
  CHECK(x == 0.001);
}

TEST_CASE("split keeps empty words and join puts them back") {
  CHECK(split_at("", ',').empty());
  CHECK(split_at("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(split_at(",", ',') == std::vector<std::string>{"", ""});
  CHECK(join_words(std::vector<std::string>{"a", "b", "c"}) == "a, b, c");
  CHECK(join_words({}) == "");
  const std::vector<std::string> with_empty{"", "x", ""};
  CHECK(split_at(join_words(with_empty, ","), ',') == with_empty);
}

TEST_CASE("an unknown word is answered with the nearest known one, if any is near") {
  const std::vector<std::string> known{"lenet5", "resnet8", "resnet20"};
  CHECK(nearest_word("lenet", known) == "lenet5");
  CHECK(nearest_word("resnet2", known) == "resnet8");
  CHECK(nearest_word("transformer", known) == "");
  CHECK(nearest_word("lnete5", known) == "lenet5");  // two neighbours exchanged, one mistake
  CHECK(nearest_word("rnnet", known) == "");         // three mistakes in five letters
  CHECK(nearest_word("x", std::vector<std::string>{"fc"}) == "");
  CHECK(unknown_word("architecture", "lenet6", known) ==
        "unknown architecture 'lenet6'; did you mean 'lenet5'? Known: lenet5, resnet8, resnet20");
}

TEST_CASE("require throws its own kind with all parts, and only on failure") {
  CHECK_NOTHROW(require<ConfigError>(true, "never"));
  CHECK_THROWS_WITH_AS(require<ShapeError>(false, "[op] expected ", 3, ", got ", 4),
                       "[op] expected 3, got 4", ShapeError);
}
