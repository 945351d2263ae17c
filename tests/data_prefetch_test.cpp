#include <doctest/doctest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "core/error.h"
#include "data/prefetch.h"
#include "data/synthetic.h"

using namespace ebb;

namespace {

/// A batch that tells its iteration.
Batch numbered(std::int64_t iteration) {
  return {.inputs = Tensor::filled({1, 1, 1, 1}, static_cast<float>(iteration)), .labels = {static_cast<std::int32_t>(iteration)}};
}

}  // namespace

TEST_CASE("prefetching gives the source's batches in any order of iterations, and so does doing without") {
  const ImageSet set = synthetic_images(SyntheticKind::grey, 60, Key(1));
  const BatchSource source(set, {.batch = 16, .augmentation = Augmentation::crop_and_flip()}, Key(2));
  for (const bool enabled : {true, false}) {
    CAPTURE(enabled);
    Prefetch prefetch([&](std::int64_t t) { return source.batch(t); }, enabled);
    for (const std::int64_t t : {0, 1, 2, 3, 10, 11, 4, 4, 5, 6, 7, 8, 20}) {
      const Batch batch = prefetch.at(t), expected = source.batch(t);
      CHECK(batch.inputs == expected.inputs);
      CHECK(batch.labels == expected.labels);
    }
  }
}

TEST_CASE("the next batch is made in another thread while the caller works, one call at a time") {
  std::atomic<int> inside = 0, most = 0, own = 0;
  const auto caller = std::this_thread::get_id();
  Prefetch prefetch([&](std::int64_t t) {
    most = std::max(most.load(), ++inside);
    own += std::this_thread::get_id() == caller ? 1 : 0;
    std::this_thread::yield();
    --inside;
    return numbered(t);
  });
  for (const std::int64_t t : {0, 1, 2, 3, 9, 10}) CHECK(prefetch.at(t).labels[0] == t);
  CHECK(prefetch.at(10).labels[0] == 10);
  CHECK(most == 1);
  CHECK(own == 3);  // 0, 9 and the second 10; the others were asked for in sequence
}

TEST_CASE("without prefetching nothing is made before it is asked for") {
  std::vector<std::int64_t> calls;
  Prefetch prefetch(
      [&](std::int64_t t) {
        calls.push_back(t);
        return numbered(t);
      },
      false);
  prefetch.at(0);
  prefetch.at(1);
  CHECK(calls == std::vector<std::int64_t>{0, 1});
}

TEST_CASE("an error of the source reaches the caller that asks for its iteration, and nobody else") {
  for (const bool enabled : {true, false}) {
    CAPTURE(enabled);
    std::atomic<bool> broken = true;
    Prefetch prefetch(
        [&](std::int64_t t) {
          require<DataError>(t != 2 || !broken, "no batch for 2");
          return numbered(t);
        },
        enabled);
    CHECK(prefetch.at(1).labels[0] == 1);
    CHECK_THROWS_WITH_AS(prefetch.at(2), "no batch for 2", DataError);
    CHECK(prefetch.at(3).labels[0] == 3);
    CHECK(prefetch.at(1).labels[0] == 1);  // prepares 2 once more, and is destroyed without asking for it
  }
}

TEST_CASE("destroying a prefetch waits for the batch under way") {
  std::atomic<bool> finished = false;
  std::optional<Prefetch> prefetch([&](std::int64_t t) {
    if (t == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    finished = t == 1;
    return numbered(t);
  });
  prefetch->at(0);
  prefetch.reset();
  CHECK(finished);
}
