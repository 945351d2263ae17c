#include <doctest/doctest.h>

#include <array>
#include <numeric>

#include "data/idx.h"
#include "tests/data_files.h"

using namespace ebb;
using namespace data_test;

namespace {

/// A header by the definition, and the given body.
Bytes idx(int type, std::initializer_list<int> dims, const Bytes& body) {
  Bytes bytes = bytes_of({0, 0, type, static_cast<int>(dims.size())});
  for (const int extent : dims) {
    for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::byte>(extent >> shift));
  }
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

IdxArray bytes_array(std::string name, std::vector<std::int64_t> dims,
                     std::vector<std::uint8_t> values) {
  return {.name = std::move(name), .dims = std::move(dims), .values = std::move(values)};
}

}  // namespace

TEST_CASE("an IDX file of each element type is read as its big-endian values") {
  struct Case {
    int type;
    Bytes body;
    IdxValues values;
  };
  const Case cases[] = {
      {0x08, bytes_of({0, 127, 128, 255}), std::vector<std::uint8_t>{0, 127, 128, 255}},
      {0x09, bytes_of({0, 127, 128, 255}), std::vector<std::int8_t>{0, 127, -128, -1}},
      {0x0B, bytes_of({0x01, 0x02, 0xff, 0xfe, 0x80, 0x00, 0, 0}),
       std::vector<std::int16_t>{258, -2, -32768, 0}},
      {0x0C, bytes_of({1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 9}),
       std::vector<std::int32_t>{0x01020304, -1, -2147483647 - 1, 9}},
      {0x0D, bytes_of({0x3f, 0x80, 0, 0, 0xc0, 0x49, 0x0f, 0xdb, 0, 0, 0, 1, 0x80, 0, 0, 0}),
       std::vector<float>{1.0f, -0x1.921fb6p+1f, 0x1p-149f, -0.0f}},
      {0x0E, bytes_of({0x3f, 0xf0, 0,    0,    0,    0,    0,    0,    0xc0, 0, 0, 0, 0, 0, 0, 0,
                       0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a, 0,    0, 0, 0, 0, 0, 0, 0}),
       std::vector<double>{1.0, -2.0, 0.1, 0.0}}};
  for (const Case& c : cases) {
    CAPTURE(c.type);
    const IdxArray array = parse_idx(idx(c.type, {2, 1, 2}, c.body), "file");
    CHECK(array.dims == std::vector<std::int64_t>{2, 1, 2});
    CHECK((array.values == c.values));
  }
  CHECK(parse_idx(idx(8, {3, 0}, {}), "no elements").dims == std::vector<std::int64_t>{3, 0});
}

TEST_CASE("an IDX file whose header is wrong is refused with what was expected and what came") {
  struct Case {
    const char* why;
    Bytes bytes;
    const char* message;
  };
  const Case cases[] = {
      {"empty", {}, "the file is empty"},
      {"cut in the magic number", bytes_of({0, 0, 8}), "header of at least 4 bytes, got 3"},
      {"cut in the extents", bytes_of({0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0}),
       "header of 12 bytes for 2 axes, got 11"},
      {"little-endian magic number", bytes_of({1, 8, 0, 0, 1, 0, 0, 0, 5}), "got 01 08 00 00"},
      {"unknown type", idx(0x0A, {1}, bytes_of({1})), "got 00 00 0a 01"},
      {"no axes", bytes_of({0, 0, 8, 0, 7}), "RANK >= 1, got 00 00 08 00"},
      {"text", bytes_of({'P', 'N', 'G', '!'}), "this is no IDX file"},
      {"truncated", idx(8, {2, 2}, bytes_of({1, 2, 3})),
       "promises [2, 2] elements of 1 bytes, but only 3 bytes follow"},
      {"truncated inside an element", idx(0x0B, {2}, bytes_of({1, 2, 3})),
       "promises [2] elements of 2 bytes, but only 3 bytes follow"},
      {"oversized", idx(8, {2}, bytes_of({1, 2, 3})), "3 bytes follow, 1 too many"},
      {"oversized behind nothing", idx(8, {0, 5}, bytes_of({1})), "1 too many"},
      {"product over 2^64", idx(0x0E, {0x10000, 0x10000, 0x10000, 0x10000, 0x10000}, {}),
       "but only 0 bytes follow"},
      {"product that is 0 modulo 2^64", idx(8, {0x10000, 0x10000, 0x10000, 0x10000}, {}),
       "but only 0 bytes follow"},
      {"largest extents", idx(8, {-1, -1, -1, -1, -1, -1}, bytes_of({1})), "4294967295"},
      {"mislabelled as float", idx(0x0D, {4}, bytes_of({1, 2, 3, 4})), "but only 4 bytes follow"},
      {"a NaN", idx(0x0D, {2}, bytes_of({0, 0, 0, 0, 0x7f, 0xc0, 0, 0})),
       "element 1 at byte 12 is nan"},
      {"an infinity", idx(0x0E, {1}, bytes_of({0xff, 0xf0, 0, 0, 0, 0, 0, 0})),
       "element 0 at byte 8 is -inf"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string message = message_of<DataError>([&] { parse_idx(c.bytes, "train.idx"); });
    CAPTURE(message);
    CHECK(contains(message, "[idx] train.idx: "));
    CHECK(contains(message, c.message));
  }
}

TEST_CASE(
    "images and labels join to a set; bytes stay bytes, other types become their own values") {
  const ImageSet grey = idx_image_set(bytes_array("i", {2, 1, 2}, {0, 1, 2, 255}),
                                      bytes_array("l", {2}, {0, 3}), std::nullopt, "grey");
  CHECK(grey.shape == Shape{1, 2, 1});
  CHECK(grey.classes == 4);
  CHECK(grey.labels == std::vector<std::int32_t>{0, 3});
  CHECK((grey.pixels == decltype(grey.pixels)(std::vector<std::uint8_t>{0, 1, 2, 255})));
  const IdxArray shorts{
      .name = "i", .dims = {1, 1, 1, 3}, .values = std::vector<std::int16_t>{-7, 0, 300}};
  const ImageSet colour = idx_image_set(
      shorts, {.name = "l", .dims = {1}, .values = std::vector<std::int32_t>{1}}, 5, "colour");
  CHECK(colour.shape == Shape{1, 1, 3});
  CHECK(colour.classes == 5);
  CHECK((colour.pixels == decltype(colour.pixels)(std::vector<float>{-7.0f, 0.0f, 300.0f})));
}

TEST_CASE("images and labels that do not belong together are refused") {
  const IdxArray images = bytes_array("images", {2, 1, 1}, {5, 6}),
                 labels = bytes_array("labels", {2}, {0, 9});
  struct Case {
    const char* why;
    IdxArray images, labels;
    const char* message;
  };
  const Case cases[] = {
      {"exchanged", labels, images, "[idx] labels: expected images [n, height, width]"},
      {"two label files", labels, labels, "is it a file of labels?"},
      {"two image files", images, images, "[idx] images: expected labels [n], got [2, 1, 1]"},
      {"counts", images, bytes_array("labels", {3}, {1, 2, 3}),
       "images has 2 images, but labels has 3 labels"},
      {"empty", bytes_array("images", {0, 28, 28}, {}), bytes_array("labels", {0}, {}),
       "[0, 28, 28] holds no pixels"},
      {"no pixels", bytes_array("images", {2, 0, 4}, {}), labels, "holds no pixels"},
      {"label out of range", images, bytes_array("labels", {2}, {1, 10}),
       "label 10 of image 1 is outside 0 .. 9"},
      {"negative label",
       images,
       {.name = "labels", .dims = {2}, .values = std::vector<std::int8_t>{-1, 0}},
       "label -1 of image 0"},
      {"real labels",
       images,
       {.name = "labels", .dims = {2}, .values = std::vector<float>{0, 1}},
       "labels of an integer type"},
      {"too large for float32",
       {.name = "images", .dims = {2, 1, 1}, .values = std::vector<double>{1.0, 1e300}},
       labels,
       "image 1 has a pixel that is not finite"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::string message =
        message_of<DataError>([&] { idx_image_set(c.images, c.labels, 10, "set"); });
    CAPTURE(message);
    CHECK(contains(message, c.message));
  }
  const IdxArray huge{
      .name = "labels", .dims = {2}, .values = std::vector<std::int32_t>{0, 2147483647}};
  CHECK(contains(message_of<DataError>([&] { idx_image_set(images, huge, std::nullopt, "set"); }),
                 "label 2147483647 of image 1 is outside 0 .. 65535"));
}

TEST_CASE("the real MNIST training set reads as published") {
  const auto folder = real_data("mnist");
  if (folder.empty()) {
    MESSAGE("skipped: no folder mnist under EBB_TEST_DATA or ../shared/data");
    return;
  }
  const ImageSet set =
      idx_image_set(read_idx(folder / "train-images-idx3-ubyte.gz"),
                    read_idx(folder / "train-labels-idx1-ubyte.gz"), std::nullopt, "mnist");
  CHECK(set.count() == 60000);
  CHECK(set.shape == Shape{28, 28, 1});
  CHECK(set.classes == 10);
  std::array<int, 10> counts{};
  for (const std::int32_t label : set.labels) ++counts[static_cast<std::size_t>(label)];
  CHECK(counts == std::array{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(std::vector(set.labels.begin(), set.labels.begin() + 10) ==
        std::vector<std::int32_t>{5, 0, 4, 1, 9, 2, 1, 3, 1, 4});
  const Normalization normalization = measure_normalization(set);
  CHECK(normalization.mean[0] == doctest::Approx(0.13066).epsilon(4e-5));
  CHECK(normalization.std[0] == doctest::Approx(0.30811).epsilon(2e-5));
}
