#include <doctest/doctest.h>

#include "data/cifar.h"
#include "tests/data_files.h"

using namespace ebb;
using namespace data_test;

namespace {

/// A record whose byte at (channel, y, x) is a hash of the place, behind the given label bytes.
Bytes record(std::initializer_list<int> labels) {
  Bytes bytes = bytes_of(labels);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) bytes.push_back(static_cast<std::byte>(91 * c + 7 * y + 13 * x));
    }
  }
  return bytes;
}

Bytes joined(std::initializer_list<Bytes> records) {
  Bytes all;
  for (const Bytes& one : records) all.insert(all.end(), one.begin(), one.end());
  return all;
}

std::vector<std::int32_t> first_labels(const ImageSet& set) {
  return {set.labels.begin(), set.labels.begin() + 10};
}

}  // namespace

TEST_CASE("CIFAR records become channels-last images with the wanted label") {
  struct Case {
    CifarLabels labels;
    Bytes bytes;
    int classes;
    std::vector<std::int32_t> expected;
  };
  const Case cases[] = {
      {CifarLabels::ten, joined({record({9}), record({0})}), 10, {9, 0}},
      {CifarLabels::coarse, joined({record({19, 99}), record({0, 3})}), 20, {19, 0}},
      {CifarLabels::fine, joined({record({19, 99}), record({0, 3})}), 100, {99, 3}}};
  for (const Case& c : cases) {
    CAPTURE(c.classes);
    ImageSet set = cifar_image_set(c.labels, "set");
    append_cifar(set, c.bytes, c.labels, "file");
    CHECK(set.shape == Shape{32, 32, 3});
    CHECK(set.classes == c.classes);
    CHECK(set.labels == c.expected);
    const auto& pixels = std::get<std::vector<std::uint8_t>>(set.pixels);
    REQUIRE(pixels.size() == 2 * 3072);
    bool all_in_place = true;
    for (int i = 0; i < 2; ++i) {
      for (int y = 0; y < 32; ++y) {
        for (int x = 0; x < 32; ++x) {
          for (int channel = 0; channel < 3; ++channel) {
            all_in_place &=
                pixels[static_cast<std::size_t>(((i * 32 + y) * 32 + x) * 3 + channel)] ==
                ((91 * channel + 7 * y + 13 * x) & 255);
          }
        }
      }
    }
    CHECK(all_in_place);
    append_cifar(set, c.bytes, c.labels, "file");
    CHECK(set.count() == 4);
  }
}

TEST_CASE(
    "a CIFAR file with a part of a record or an impossible label is refused with the place, and "
    "the set stays as it was") {
  const Bytes ten = joined({record({1}), record({10})});
  Bytes cut = record({1});
  cut.pop_back();
  struct Case {
    const char* why;
    CifarLabels labels;
    Bytes bytes;
    const char* message;
  };
  const Case cases[] = {
      {"empty", CifarLabels::ten, {}, "the file is empty"},
      {"truncated", CifarLabels::ten, cut,
       "whole records of 3073 bytes, got 3072 bytes: 0 records and 3072 bytes"},
      {"other set", CifarLabels::fine, record({1}), "whole records of 3074 bytes, got 3073 bytes"},
      {"label 10", CifarLabels::ten, ten, "record 1 at byte 3073 has label 10; expected 0 .. 9"},
      {"coarse 20", CifarLabels::fine, record({20, 5}),
       "record 0 at byte 0 has coarse label 20; expected 0 .. 19"},
      {"fine 100", CifarLabels::coarse, joined({record({3, 5}), record({3, 100})}),
       "record 1 at byte 3075 has fine label 100; expected 0 .. 99"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    ImageSet set = cifar_image_set(c.labels, "set");
    const std::string message =
        message_of<DataError>([&] { append_cifar(set, c.bytes, c.labels, "test_batch.bin"); });
    CAPTURE(message);
    CHECK(contains(message, "[cifar] test_batch.bin: "));
    CHECK(contains(message, c.message));
    CHECK(set.count() == 0);
  }
}

TEST_CASE("the real CIFAR subsets read as published") {
  struct Case {
    const char* folder;
    std::vector<const char*> files;
    CifarLabels labels;
    std::int64_t count;
    std::array<double, 3> mean, std;
    std::vector<std::int32_t> first;
  };
  const Case cases[] = {{"cifar-10-batches-bin",
                         {"test_batch.bin.xz"},
                         CifarLabels::ten,
                         5000,
                         {0.49333, 0.48473, 0.45102},
                         {0.24692, 0.24334, 0.26236},
                         {8, 4, 4, 1, 1, 9, 4, 0, 4, 1}},
                        {"cifar-100-binary",
                         {"test.bin.xz"},
                         CifarLabels::fine,
                         2500,
                         {0.50431, 0.48478, 0.43985},
                         {0.26884, 0.25592, 0.27572},
                         {76, 97, 92, 97, 40, 36, 17, 62, 45, 44}}};
  for (const Case& c : cases) {
    const auto folder = real_data(c.folder);
    if (folder.empty()) {
      MESSAGE("skipped: no folder ", c.folder, " under EBB_TEST_DATA or ../shared/data");
      continue;
    }
    CAPTURE(c.folder);
    std::vector<std::string> files;
    for (const char* file : c.files) files.push_back(folder / file);
    const ImageSet set = read_cifar(files, c.labels, c.folder);
    CHECK(set.count() == c.count);
    CHECK(first_labels(set) == c.first);
    const Normalization measured = measure_normalization(set);
    for (std::size_t channel = 0; channel < 3; ++channel) {
      CAPTURE(channel);
      CHECK(std::abs(measured.mean[channel] - c.mean[channel]) <= 0.5001e-5);
      CHECK(std::abs(measured.std[channel] - c.std[channel]) <= 0.5001e-5);
    }
  }
}
