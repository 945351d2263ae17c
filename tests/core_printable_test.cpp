#include <doctest/doctest.h>

#include <string>

#include "core/printable.h"

using namespace ebb;

TEST_CASE("what could act on a terminal is shown as an escape, everything else as it is") {
  struct Case {
    const char* why;
    std::string text, shown;
  };
  const Case cases[] = {
      {"plain", "runs/a b", "runs/a b"},
      {"letters of other scripts", "Gr\u00fc\u00dfe \u4f60\u597d \U0001f600",
       "Gr\u00fc\u00dfe \u4f60\u597d \U0001f600"},
      {"an escape sequence", "\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"},
      {"other controls", std::string("\r\b\t\x7f\0", 5), "\\x0d\\x08\\x09\\x7f\\x00"},
      {"a line feed", "a\nb", "a\\x0ab"},
      {"a control of two bytes: CSI", "\u009b31m", "\\u009b31m"},
      {"directions: embeddings and overrides", "\u2029\u202a\u202egpj\u202f",
       "\u2029\\u202a\\u202egpj\u202f"},
      {"directions: isolates", "\u2065\u2066\u2069\u206a", "\u2065\\u2066\\u2069\u206a"},
      {"no UTF-8: a lone byte, a cut character, one of too many bytes, a surrogate",
       "\x9b \xe4\xbd \xc0\xaf \xed\xa0\x80", "\\x9b \\xe4\\xbd \\xc0\\xaf \\xed\\xa0\\x80"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    CHECK(printable(c.text) == c.shown);
  }
  CHECK(printable("two\nlines\x1b", LineFeeds::kept) == "two\nlines\\x1b");
}
