#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/images.h"
#include "tests/data_files.h"

using namespace ebb;
using namespace data_test;

namespace {

/// Images of 1 x 1 whose pixel is their index, of class index mod 3.
ImageSet numbered(std::int64_t count) {
  ImageSet set{.name = "numbered",
               .shape = {1, 1, 1},
               .classes = 3,
               .pixels = std::vector<float>{},
               .labels = {},
               .normalization = {{0.5f}, {2.0f}}};
  for (std::int64_t i = 0; i < count; ++i) {
    std::get<std::vector<float>>(set.pixels).push_back(static_cast<float>(i));
    set.labels.push_back(static_cast<std::int32_t>(i % 3));
  }
  return set;
}

std::vector<float> reals(const ImageSet& set) { return std::get<std::vector<float>>(set.pixels); }

}  // namespace

TEST_CASE(
    "normalisation is measured per channel as in long double arithmetic, for bytes and for "
    "floats") {
  std::vector<std::uint8_t> bytes;
  for (int i = 0; i < 3000; ++i)
    bytes.push_back(static_cast<std::uint8_t>(
        Key(7).below(static_cast<std::uint64_t>(i), i % 2 == 0 ? 256 : 11)));
  std::vector<float> floats;
  for (const std::uint8_t byte : bytes)
    floats.push_back(1000.0f +
                     static_cast<float>(byte) / 64.0f);  // a large offset does not eat the variance
  for (const bool as_bytes : {true, false}) {
    CAPTURE(as_bytes);
    ImageSet set{.name = "set",
                 .shape = {5, 2, 2},
                 .classes = 1,
                 .pixels = floats,
                 .labels = std::vector<std::int32_t>(150),
                 .normalization = {}};
    if (as_bytes) set.pixels = bytes;
    const Normalization measured = measure_normalization(set);
    for (std::size_t channel = 0; channel < 2; ++channel) {
      long double sum = 0, squares = 0;
      const auto value = [&](std::size_t i) {
        return as_bytes ? static_cast<long double>(bytes[i]) / 255
                        : static_cast<long double>(floats[i]);
      };
      for (std::size_t i = channel; i < 3000; i += 2) sum += value(i);
      for (std::size_t i = channel; i < 3000; i += 2)
        squares += (value(i) - sum / 1500) * (value(i) - sum / 1500);
      CHECK(measured.mean[channel] == static_cast<float>(sum / 1500));
      CHECK(measured.std[channel] == static_cast<float>(std::sqrt(squares / 1500)));
    }
  }
  ImageSet grey = numbered(5);
  std::get<std::vector<float>>(grey.pixels).assign(5, 0.25f);
  CHECK(contains(message_of<DataError>([&] { measure_normalization(grey); }),
                 "channel 0 cannot be normalised"));
}

TEST_CASE("a set whose parts disagree is refused") {
  struct Case {
    const char* message;
    void (*spoil)(ImageSet&);
  };
  const Case cases[] = {
      {"no images", [](ImageSet& set) { set = numbered(0); }},
      {"expected images [height, width, channels], got [1, 1]",
       [](ImageSet& set) {
         set.shape = {1, 1};
       }},
      {"expected images [height, width, channels], got [0, 1, 1]",
       [](ImageSet& set) {
         set.shape = {0, 1, 1};
       }},
      {"got 4 pixel values", [](ImageSet& set) { set.labels.push_back(0); }},
      {"got 4 pixel values",
       [](ImageSet& set) {
         set.shape = {1, 3, 1};
       }},
      {"label 3 of image 1 is none of the 3 classes", [](ImageSet& set) { set.labels[1] = 3; }},
      {"label -1 of image 0", [](ImageSet& set) { set.labels[0] = -1; }},
      {"image 2 has a pixel that is not finite",
       [](ImageSet& set) { std::get<1>(set.pixels)[2] = NAN; }}};
  for (const Case& c : cases) {
    CAPTURE(c.message);
    ImageSet set = numbered(4);
    c.spoil(set);
    CHECK(contains(message_of<DataError>([&] { require_consistent(set); }), c.message));
  }
  CHECK_NOTHROW(require_consistent(numbered(4)));
}

TEST_CASE(
    "a fingerprint depends on pixels, labels, shape, classes and element type, and on nothing "
    "else") {
  const ImageSet set = numbered(6);
  const std::string original = set.fingerprint();
  CHECK(original.size() == 64);
  ImageSet other = set;
  other.name = "another name";
  other.normalization = {};
  CHECK(other.fingerprint() == original);
  void (*const changes[])(ImageSet&) = {
      [](ImageSet& s) { s.labels[5] = 0; }, [](ImageSet& s) { std::get<1>(s.pixels)[5] = 7.0f; },
      [](ImageSet& s) { s.classes = 4; },
      [](ImageSet& s) {
        s.shape = {1, 1, 2};
      },
      [](ImageSet& s) { s.pixels = std::vector<std::uint8_t>(6); }};
  for (const auto change : changes) {
    other = set;
    change(other);
    CHECK(other.fingerprint() != original);
  }
}

TEST_CASE("a validation split is disjoint, complete, in file order and a function of its key") {
  const ImageSet set = numbered(1000);
  const auto [train, validation] = split_validation(set, 0.1, Key(3));
  CHECK(train.count() == 900);
  CHECK(validation.count() == 100);
  const std::vector<float> kept = reals(train), aside = reals(validation);
  CHECK(std::ranges::is_sorted(kept));
  CHECK(std::ranges::is_sorted(aside));
  std::vector<float> both;
  std::ranges::merge(kept, aside, std::back_inserter(both));
  CHECK(both == reals(set));
  for (std::size_t i = 0; i < aside.size(); ++i)
    CHECK(validation.labels[i] == static_cast<int>(aside[i]) % 3);
  CHECK(validation.normalization == set.normalization);
  CHECK(aside.back() - aside.front() > 900.0f);  // spread over the file
  CHECK(reals(split_validation(set, 0.1, Key(3)).validation) == aside);
  CHECK(reals(split_validation(set, 0.1, Key(4)).validation) != aside);
  for (const double fraction : {0.0, 1.0, -0.5, 1.5, 0.0004, 0.9999, std::nan("")}) {
    CAPTURE(fraction);
    CHECK_THROWS_AS(split_validation(set, fraction, Key(3)), ConfigError);
  }
  const std::int64_t outside[] = {0, 1000};
  CHECK_THROWS_AS(subset(set, outside), ConfigError);
}
