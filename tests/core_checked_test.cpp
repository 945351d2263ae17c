#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

#include "core/checked.h"

using namespace ebb;

namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("a product of sizes is right or refused, with its factors and what they are of") {
  CHECK(checked_mul(0, kMost, "x") == 0);
  CHECK(checked_mul(kMost, 1, "x") == kMost);
  CHECK(checked_mul(std::int64_t{1} << 31, std::int64_t{1} << 31, "x") == std::int64_t{1} << 62);
  CHECK(checked_mul(3037000499, 3037000499, "x") ==
        9223372030926249001);  // the largest square there is
  CHECK_THROWS_AS(checked_mul(3037000500, 3037000500, "x"), ConfigError);
  CHECK_THROWS_AS(checked_mul(kMost, 2, "x"), ConfigError);
  CHECK_THROWS_AS(checked_mul(std::int64_t{1} << 32, std::int64_t{1} << 32, "x"),
                  ConfigError);                                            // 0 modulo 2^64
  CHECK_THROWS_AS(checked_mul(6148914691236517206, 3, "x"), ConfigError);  // 2 modulo 2^64
  CHECK_THROWS_WITH_AS(
      checked_mul(std::int64_t{1} << 32, std::int64_t{1} << 31, "[op] tokens of ", 2, " rows"),
      "[op] tokens of 2 rows: 4294967296 x 2147483648 is more than can be counted", ConfigError);
}

TEST_CASE("pieces are counted up to the largest number, the last one smaller or not") {
  struct Case {
    std::int64_t all, piece, pieces;
  };
  const Case cases[] = {
      {0, 3, 0},    {1, 3, 1},         {3, 3, 1},         {4, 3, 2},
      {6, 3, 2},    {kMost, 1, kMost}, {kMost, kMost, 1}, {kMost, 2, kMost / 2 + 1},
      {1, kMost, 1}};
  for (const Case& c : cases) CHECK(ceil_div(c.all, c.piece) == c.pieces);
}
