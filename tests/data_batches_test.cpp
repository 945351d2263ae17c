#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "data/batches.h"
#include "tests/data_files.h"

using namespace ebb;
using namespace data_test;

namespace {

/// `count` images of height x width x channels bytes, all pixels different within an image where
/// 256 values allow it, none of them 0.
ImageSet patterned(std::int64_t count, std::int64_t height, std::int64_t width,
                   std::int64_t channels) {
  ImageSet set{.name = "patterned",
               .shape = {height, width, channels},
               .classes = 7,
               .pixels = {},
               .labels = {},
               .normalization = {}};
  std::vector<std::uint8_t> bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t p = 0; p < set.shape.size(); ++p)
      bytes.push_back(static_cast<std::uint8_t>(1 + (p + 31 * i) % 255));
    set.labels.push_back(static_cast<std::int32_t>(i % 7));
  }
  set.pixels = std::move(bytes);
  for (std::int64_t c = 0; c < channels; ++c) {
    set.normalization.mean.push_back(0.25f + 0.125f * static_cast<float>(c));
    set.normalization.std.push_back(0.5f + 0.25f * static_cast<float>(c));
  }
  return set;
}

/// The definition: the padded image, cut at (down, right) of the padded frame, then mirrored, then
/// normalised.
std::vector<float> augmented(const ImageSet& set, std::int64_t image, std::int64_t pad,
                             std::int64_t down, std::int64_t right, bool mirrored) {
  const auto& bytes = std::get<std::vector<std::uint8_t>>(set.pixels);
  const std::int64_t h = set.shape[0], w = set.shape[1], c = set.shape[2], wide = w + 2 * pad;
  std::vector<std::uint8_t> padded(static_cast<std::size_t>((h + 2 * pad) * wide * c));
  for (std::int64_t y = 0; y < h; ++y) {
    for (std::int64_t k = 0; k < w * c; ++k) {
      padded[static_cast<std::size_t>(((y + pad) * wide + pad) * c + k)] =
          bytes[static_cast<std::size_t>((image * h + y) * w * c + k)];
    }
  }
  std::vector<float> result;
  for (std::int64_t y = 0; y < h; ++y) {
    for (std::int64_t x = 0; x < w; ++x) {
      for (std::int64_t k = 0; k < c; ++k) {
        const std::int64_t column = mirrored ? w - 1 - x : x;
        const float value =
            static_cast<float>(
                padded[static_cast<std::size_t>(((y + down) * wide + column + right) * c + k)]) /
            255.0f;
        result.push_back((value - set.normalization.mean[static_cast<std::size_t>(k)]) /
                         set.normalization.std[static_cast<std::size_t>(k)]);
      }
    }
  }
  return result;
}

std::vector<float> image_of(const Batch& batch, std::int64_t i) {
  const auto size = static_cast<std::size_t>(batch.inputs.size() / batch.size());
  const auto values = batch.inputs.values().subspan(static_cast<std::size_t>(i) * size, size);
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE(
    "an epoch visits every image once, its last batch holds the rest, and epochs differ in order") {
  const ImageSet set = patterned(103, 2, 2, 1);
  const BatchSource source(set, {.batch = 10, .augmentation = {}}, Key(1));
  CHECK(source.batches_per_epoch() == 11);
  std::vector<std::vector<std::int64_t>> epochs(3);
  for (std::int64_t t = 0; t < 33; ++t) {
    const auto indices = source.indices(t);
    CHECK(static_cast<std::int64_t>(indices.size()) == (t % 11 == 10 ? 3 : 10));
    CHECK(source.batch_size(t) == static_cast<std::int64_t>(indices.size()));
    CHECK(source.batch(t).size() == static_cast<std::int64_t>(indices.size()));
    auto& seen = epochs[static_cast<std::size_t>(source.epoch(t))];
    seen.insert(seen.end(), indices.begin(), indices.end());
  }
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[1] != epochs[2]);
  for (auto& seen : epochs) {
    std::ranges::sort(seen);
    std::vector<std::int64_t> all(103);
    std::iota(all.begin(), all.end(), 0);
    CHECK(seen == all);
  }
  CHECK(BatchSource(set, {.batch = 1000, .augmentation = {}}, Key(1)).batch(5).size() == 103);
}

TEST_CASE("a batch without augmentation holds the normalised images and labels of its indices") {
  const ImageSet set = patterned(20, 3, 4, 2);
  const BatchSource source(set, {.batch = 8, .augmentation = {}}, Key(2));
  const Batch batch = source.batch(4);
  CHECK(batch.inputs.shape() == Shape{8, 3, 4, 2});
  const auto indices = source.indices(4);
  for (std::int64_t i = 0; i < 8; ++i) {
    const std::int64_t image = indices[static_cast<std::size_t>(i)];
    CHECK(batch.labels[static_cast<std::size_t>(i)] == set.labels[static_cast<std::size_t>(image)]);
    CHECK(image_of(batch, i) == augmented(set, image, 0, 0, 0, false));
  }
}

TEST_CASE(
    "every augmented image is one of the definition's crops and mirrorings, each about equally "
    "often") {
  const ImageSet set = patterned(50, 5, 6, 3);
  const BatchSource source(set, {.batch = 50, .augmentation = {.pad = 2, .flip = true}}, Key(3));
  std::map<std::array<std::int64_t, 3>, int> times;
  for (std::int64_t t = 0; t < 40; ++t) {
    const Batch batch = source.batch(t);
    const auto indices = source.indices(t);
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const std::vector<float> got = image_of(batch, i);
      const auto counter = 3 * static_cast<std::uint64_t>(indices[static_cast<std::size_t>(i)]);
      const Key draws = Key(3).fold("augment").fold(
          static_cast<std::uint64_t>(t));  // an iteration is an epoch here
      const auto drawn = [&](std::uint64_t n) {
        return static_cast<std::int64_t>(draws.below(counter + n, n == 2 ? 2 : 5));
      };
      CHECK(got == augmented(set, indices[static_cast<std::size_t>(i)], 2, drawn(0), drawn(1),
                             drawn(2) == 1));
      int matches = 0;
      for (std::int64_t place = 0; place < 50; ++place) {
        const std::int64_t down = place / 10, right = place / 2 % 5, mirrored = place % 2;
        if (got !=
            augmented(set, indices[static_cast<std::size_t>(i)], 2, down, right, mirrored == 1))
          continue;
        ++matches;
        ++times[{down, right, mirrored}];
      }
      CHECK(matches == 1);
    }
  }
  CHECK(times.size() == 50);  // 2000 draws over 50 outcomes: 40 +- 6.3 each
  for (const auto& [outcome, count] : times) CHECK((count > 40 - 32 && count < 40 + 32));
}

TEST_CASE(
    "a batch is a function of key and iteration alone: any order of calls, any thread, any other "
    "batch size of the image") {
  const ImageSet set = patterned(60, 4, 4, 1);
  const BatchOptions options{.batch = 16, .augmentation = Augmentation::crop_and_flip()};
  const BatchSource source(set, options, Key(4));
  std::vector<Batch> forward;
  for (std::int64_t t = 0; t < 12; ++t) forward.push_back(source.batch(t));
  const BatchSource again(set, options, Key(4));
  for (std::int64_t t = 11; t >= 0; --t)
    CHECK(again.batch(t).inputs == forward[static_cast<std::size_t>(t)].inputs);
  std::vector<Batch> threaded(12);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 12; ++t)
      threads.emplace_back([&, t] { threaded[t] = source.batch(static_cast<std::int64_t>(t)); });
  }
  for (std::size_t t = 0; t < 12; ++t) CHECK(threaded[t].inputs == forward[t].inputs);
  CHECK(BatchSource(set, options, Key(5)).batch(0).inputs != forward[0].inputs);
  const BatchSource whole(set, {.batch = 60, .augmentation = options.augmentation}, Key(4));
  CHECK(image_of(whole.batch(2), 17) ==
        image_of(source.batch(9), 1));  // epoch 2, image 17 of its order
}

TEST_CASE("float images are normalised as they are, and padding is the value 0") {
  ImageSet set = patterned(1, 1, 2, 1);
  set.pixels = std::vector<float>{3.0f, -1.0f};
  CHECK(image_of(batch_in_file_order(set, 0, 1), 0) ==
        std::vector<float>{(3.0f - 0.25f) / 0.5f, (-1.0f - 0.25f) / 0.5f});
  const BatchSource source(set, {.batch = 1, .augmentation = {.pad = 5, .flip = false}}, Key(1));
  std::set<float> values;
  for (std::int64_t t = 0; t < 100; ++t)
    values.merge(std::set<float>{source.batch(t).inputs[0], source.batch(t).inputs[1]});
  CHECK(values == std::set<float>{-2.5f, -0.5f, 5.5f});
}

TEST_CASE("evaluation goes through the file in order") {
  const ImageSet set = patterned(10, 2, 3, 1);
  const Batch batch = batch_in_file_order(set, 7, 3);
  CHECK(batch.labels == std::vector<std::int32_t>{0, 1, 2});
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(image_of(batch, i) == augmented(set, 7 + i, 0, 0, 0, false));
  for (const auto& [first, count] : {std::pair{-1, 2}, {8, 3}, {0, 11}, {11, 0}})
    CHECK_THROWS_AS(batch_in_file_order(set, first, count), ConfigError);
}

TEST_CASE("micro-batches are the batch in pieces of nearly equal size") {
  const ImageSet set = patterned(11, 2, 2, 1);
  const Batch batch = batch_in_file_order(set, 0, 11);
  struct Case {
    std::int64_t parts;
    std::vector<std::int64_t> sizes;
  };
  for (const Case& c :
       {Case{1, {11}}, Case{2, {6, 5}}, Case{4, {3, 3, 3, 2}},
        Case{11, std::vector<std::int64_t>(11, 1)}, Case{50, std::vector<std::int64_t>(11, 1)}}) {
    CAPTURE(c.parts);
    std::vector<std::int64_t> sizes;
    std::vector<float> values;
    std::vector<std::int32_t> labels;
    for (const Batch& part : micro_batches(batch, c.parts)) {
      sizes.push_back(part.size());
      CHECK(part.inputs.shape() == Shape{part.size(), 2, 2, 1});
      values.insert(values.end(), part.inputs.values().begin(), part.inputs.values().end());
      labels.insert(labels.end(), part.labels.begin(), part.labels.end());
    }
    CHECK(sizes == c.sizes);
    CHECK(std::ranges::equal(values, batch.inputs.values()));
    CHECK(labels == batch.labels);
  }
  CHECK_THROWS_AS(micro_batches(batch, 0), ConfigError);
}

TEST_CASE("a source refuses settings that make no batches") {
  ImageSet set = patterned(4, 2, 2, 1);
  CHECK_THROWS_AS(BatchSource(set, {.batch = 0, .augmentation = {}}, Key(1)), ConfigError);
  CHECK_THROWS_AS(
      BatchSource(set, {.batch = 4, .augmentation = {.pad = -1, .flip = false}}, Key(1)),
      ConfigError);
  CHECK_THROWS_AS(
      static_cast<void>(BatchSource(set, {.batch = 4, .augmentation = {}}, Key(1)).batch(-1)),
      ConfigError);
  set.normalization.std.clear();
  CHECK(contains(
      message_of<DataError>([&] { BatchSource(set, {.batch = 4, .augmentation = {}}, Key(1)); }),
      "expected a mean and a std for each of 1 channels"));
}
