#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "errors.h"
#include "train/digest.h"

using namespace ebb;
using namespace ebb::train;
using namespace ebb::test;

namespace {

LineDigest digest_of(const std::vector<std::string>& lines) {
  LineDigest digest;
  for (const std::string& line : lines) digest.add(line);
  return digest;
}

std::vector<std::string> numbered(std::size_t count) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < count; ++i) lines.push_back(concat("line ", i));
  return lines;
}

}  // namespace

TEST_CASE("a digest tells which line was altered, of many lines about where") {
  struct Case {
    std::size_t lines, altered;  // from 0
    const char* expected;
  };
  const Case cases[] = {
      {1, 0, "line 1"},
      {64, 63, "line 64"},
      {65, 0, "a line of 1 to 2"},  // 65 marks are too many: every other one is left
      {65, 64, "line 65"},          // behind the last mark
      {1000, 500, "a line of 497 to 512"}};
  for (const Case& c : cases) {
    CAPTURE(c.lines);
    std::vector<std::string> lines = numbered(c.lines);
    const std::string recorded = digest_of(lines).text();
    CHECK(lines_of(recorded) == static_cast<std::int64_t>(c.lines));
    CHECK(first_difference(recorded, digest_of(lines)).empty());
    lines[c.altered] += "!";
    CHECK(first_difference(recorded, digest_of(lines)) == c.expected);
  }
}

TEST_CASE("a digest keeps few marks however long the record") {
  CHECK(split_at(digest_of(numbered(10000)).text(), ' ').size() <= 3 + 64);
  CHECK(digest_of({}).text().starts_with("0 1 e3b0c44298fc1c14"));  // SHA-256 of nothing
  for (const char* bad : {"", "1", "x 1 0", "-1 1 0", "1 0 0", "1 9223372036854775807 0 mark",
                          "9223372036854775807 1 0"}) {
    CAPTURE(bad);
    CHECK(contains(data_error_of([&] { first_difference(bad, digest_of({"a"})); }),
                   "expected the digest of a record"));
  }
}
