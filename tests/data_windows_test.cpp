#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "core/error.h"
#include "data/windows.h"

using namespace ebb;

namespace {

TokenIds counting(std::size_t n) {
  TokenIds ids(n);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

}  // namespace

TEST_CASE(
    "streams are read side by side, every token is predicted once, and windows follow each other") {
  const TokenIds text = counting(23);
  const StreamWindows windows(text, 3, 4);  // streams 0..6, 7..13, 14..20; 21 and 22 are left over
  REQUIRE(windows.count() == 2);
  const TokenBatch first = windows.window(0), second = windows.window(1);
  CHECK(first.length == 4);
  CHECK(first.inputs == TokenIds{0, 7, 14, 1, 8, 15, 2, 9, 16, 3, 10, 17});
  CHECK(first.targets == TokenIds{1, 8, 15, 2, 9, 16, 3, 10, 17, 4, 11, 18});
  CHECK(second.length == 2);
  CHECK(second.inputs == TokenIds{4, 11, 18, 5, 12, 19});
  CHECK(StreamWindows(counting(13), 3, 3).count() == 1);
  CHECK_THROWS_AS(StreamWindows(text, 12, 4), DataError);
  CHECK_THROWS_AS(StreamWindows(text, 0, 4), ConfigError);
}

TEST_CASE(
    "scored streams predict every token but the first exactly once, whatever their number and "
    "length") {
  for (const std::size_t size : {2u, 3u, 10u, 11u, 12u, 24u, 101u}) {
    for (const std::int64_t rows : {1, 3, 10}) {
      for (const std::int64_t length : {1, 4, 100}) {
        CAPTURE(size);
        CAPTURE(rows);
        CAPTURE(length);
        const TokenIds text = counting(size);
        const ScoredStreams windows(text, rows, length);
        std::vector<int> scored(size, 0);
        std::vector<std::int32_t> next;  // input of each stream, which follows its last target
        for (std::int64_t w = 0; w < windows.count(); ++w) {
          const TokenBatch batch = windows.window(w);
          REQUIRE(batch.size() == static_cast<std::int64_t>(batch.targets.size()));
          if (w == 0) next.assign(batch.inputs.begin(), batch.inputs.begin() + batch.rows);
          for (std::size_t i = 0; i < batch.targets.size(); ++i) {
            const std::size_t row = i % static_cast<std::size_t>(batch.rows);
            REQUIRE(batch.inputs[i] == next[row]);
            REQUIRE(batch.targets[i] == ++next[row]);
            ++scored[static_cast<std::size_t>(batch.targets[i])];
          }
        }
        std::vector<int> once(size, 1);
        once[0] = 0;
        CHECK(scored == once);
      }
    }
  }
  CHECK_THROWS_AS(ScoredStreams(counting(1), 10, 4), DataError);
  CHECK_THROWS_AS(ScoredStreams(counting(9), 0, 4), ConfigError);
}

TEST_CASE("the windows of the Penn Treebank's tokens are those of the reference") {
  CHECK(StreamWindows(TokenIds(929'589), 20, 35).count() == 1328);
}

TEST_CASE("random windows hold consecutive tokens, depend on the key alone, and reach both ends") {
  const TokenIds text = counting(7);
  bool begins_first = false, ends_last = false;
  for (std::uint64_t t = 0; t < 50; ++t) {
    const TokenBatch batch = random_windows(text, 2, 4, Key(t));
    for (std::size_t i = 0; i < 8; ++i) {
      CHECK(batch.targets[i] == batch.inputs[i] + 1);
      CHECK(batch.inputs[i] == batch.inputs[i / 4 * 4] + static_cast<std::int32_t>(i % 4));
    }
    begins_first = begins_first || batch.inputs[0] == 0;
    ends_last = ends_last || batch.targets[3] == 6;
    CHECK(random_windows(text, 2, 4, Key(t)).inputs == batch.inputs);
  }
  CHECK(begins_first);
  CHECK(ends_last);
  CHECK(random_windows(text, 1, 6, Key(1)).inputs == TokenIds{0, 1, 2, 3, 4, 5});
  CHECK_THROWS_AS(static_cast<void>(random_windows(text, 1, 7, Key(1))), DataError);
}

TEST_CASE("consecutive windows predict every token but the first once") {
  for (const std::size_t size : {2u, 5u, 12u, 13u, 14u, 25u}) {
    CAPTURE(size);
    const TokenIds text = counting(size);
    const ConsecutiveWindows windows(text, 2, 4);
    std::int32_t next = 1;
    for (std::int64_t i = 0; i < windows.count(); ++i) {
      const TokenBatch batch = windows.batch(i);
      CHECK(batch.size() == static_cast<std::int64_t>(batch.targets.size()));
      for (std::size_t k = 0; k < batch.targets.size(); ++k) {
        CHECK(batch.targets[k] == next++);
        CHECK(batch.inputs[k] == batch.targets[k] - 1);
      }
    }
    CHECK(next == static_cast<std::int32_t>(size));
  }
  CHECK_THROWS_AS(ConsecutiveWindows(counting(1), 2, 4), DataError);
}
