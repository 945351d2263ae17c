#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "core/key.h"
#include "data/detection_batches.h"
#include "data/draw.h"
#include "data/image_scale.h"
#include "data/scenes.h"
#include "data_files.h"
#include "scratch.h"

using namespace ebb;
using namespace data_test;

namespace {

Picture random_picture(std::int64_t height, std::int64_t width, Key key) {
  Picture picture{.height = height, .width = width, .pixels = {}};
  for (std::int64_t i = 0; i < height * width * 3; ++i)
    picture.pixels.push_back(
        static_cast<std::uint8_t>(key.below(static_cast<std::uint64_t>(i), 256)));
  return picture;
}

/// What the triangle of `resized` gives source pixel s for target t, not yet divided by the sum.
double triangle(std::int64_t s, std::int64_t t, double step) {
  const double place = (static_cast<double>(t) + 0.5) * step;
  return std::max(0.0, 1 - std::abs(static_cast<double>(s) + 0.5 - place) / std::max(1.0, step));
}

DetectionBatchOptions plain(std::int64_t batch) {
  return {.batch = batch, .resizing = {.shorter = 128, .longest = 160}, .mirror = false};
}

}  // namespace

TEST_CASE("pictures are resized as bilinear weights say") {
  struct Case {
    std::int64_t height, width, to_height, to_width;
  };
  const Case cases[] = {{8, 8, 4, 4},  {5, 7, 9, 3}, {1, 6, 5, 2},
                        {9, 4, 2, 11}, {3, 3, 1, 1}, {12, 10, 7, 10}};
  for (const Case& c : cases) {
    CAPTURE(c.height);
    CAPTURE(c.to_height);
    const Picture picture = random_picture(c.height, c.width, Key(5));
    const Picture small = resized(picture, c.to_height, c.to_width);
    CHECK(small.height == c.to_height);
    CHECK(small.width == c.to_width);
    REQUIRE(std::ssize(small.pixels) == c.to_height * c.to_width * 3);
    const double down = static_cast<double>(c.height) / static_cast<double>(c.to_height),
                 across = static_cast<double>(c.width) / static_cast<double>(c.to_width);
    for (std::int64_t i = 0; i < std::ssize(small.pixels); ++i) {
      const std::int64_t y = i / (c.to_width * 3), x = i / 3 % c.to_width;
      double sum = 0, weights = 0;
      for (std::int64_t sy = 0; sy < c.height; ++sy) {
        for (std::int64_t sx = 0; sx < c.width; ++sx) {
          const double weight = triangle(sy, y, down) * triangle(sx, x, across);
          weights += weight;
          sum += weight * picture.pixels[static_cast<std::size_t>((sy * c.width + sx) * 3 + i % 3)];
        }
      }
      // Sums of at most 120 terms of up to 255 in double, beside a tie.
      CHECK(std::abs(sum / weights - small.pixels[static_cast<std::size_t>(i)]) <= 0.5 + 1e-9);
    }
  }
  const Picture same = random_picture(4, 6, Key(6));
  CHECK(resized(same, 4, 6).pixels == same.pixels);
  CHECK_THROWS_AS(resized(same, 0, 6), ConfigError);
}

TEST_CASE("a picture's shorter side gets its size unless the longer would be too long") {
  struct Case {
    std::int64_t width, height, shorter, longest, to_width, to_height;
  };
  const Case cases[] = {{640, 480, 320, 512, 427, 320},     // 426.67
                        {500, 375, 608, 1024, 811, 608},    // 810.67
                        {1000, 300, 608, 1024, 1024, 307},  // 307.2
                        {300, 1000, 608, 1024, 307, 1024},
                        {5, 2, 3, 7, 7, 3},  // 2.8; 7.5 would be too long
                        {1000, 1, 8, 16, 16, 1}};
  for (const Case& c : cases) {
    CAPTURE(c.width);
    const PictureFrame frame =
        frame_of(3, c.width, c.height, {.shorter = c.shorter, .longest = c.longest, .multiple = 1});
    CHECK(frame.picture == 3);
    CHECK(frame.width == c.to_width);
    CHECK(frame.height == c.to_height);
    CHECK(frame.scale_x == static_cast<double>(c.to_width) / static_cast<double>(c.width));
    CHECK(frame.scale_y == static_cast<double>(c.to_height) / static_cast<double>(c.height));
  }
  CHECK_THROWS_AS(frame_of(0, 8, 8, {.shorter = 9, .longest = 8}), ConfigError);
  CHECK_THROWS_AS(frame_of(0, 8, 8, {.multiple = 0}), ConfigError);
}

TEST_CASE("batches pad pictures of several sizes right and below, and boxes follow") {
  const Scratch scratch;
  DetectionSet set{.name = "two", .classes = {"it"}, .normalization = imagenet_normalization()};
  const Picture wide = random_picture(20, 40, Key(1)), high = random_picture(60, 30, Key(2));
  for (const Picture* each : {&wide, &high}) {
    const std::string id = to_text(set.count()), path = scratch / (id + ".png");
    write_png(*each, path);
    set.pictures.push_back({.id = id,
                            .path = path,
                            .width = each->width,
                            .height = each->height,
                            .boxes = {{.box = {2, 4, 12, 18}, .difficult = true}}});
  }
  const DetectionBatches source(
      set, {.batch = 2, .resizing = {.shorter = 40, .longest = 80, .multiple = 32}}, Key(3));
  CHECK(source.shape_in_order(0, 2) == Shape{2, 96, 96, 3});  // 80 x 40 and 40 x 80
  CHECK(source.shape_in_order(0, 1) == Shape{1, 64, 96, 3});
  const DetectionBatch batch = source.in_order(0, 2);
  CHECK(batch.images.shape() == Shape{2, 96, 96, 3});
  CHECK(batch.boxes[0][0].box == Box{4, 8, 24, 36});
  CHECK(batch.boxes[0][0].difficult);
  CHECK(batch.boxes[1][0].box.left == static_cast<float>(2 * (40 / 30.0)));
  const Picture first = resized(wide, 40, 80);
  const Normalization& norm = set.normalization;
  for (std::int64_t y = 0; y < 96; ++y) {
    for (std::int64_t x = 0; x < 96 * 3; ++x) {
      const auto c = static_cast<std::size_t>(x % 3);
      const bool inside = y < 40 && x < 80 * 3;
      const float expected =
          inside
              ? (static_cast<float>(first.pixels[static_cast<std::size_t>(y * 240 + x)]) / 255.0f -
                 norm.mean[c]) /
                    norm.std[c]
              : 0.0f;
      REQUIRE(batch.images[y * 96 * 3 + x] == expected);
    }
  }
  set.pictures[0].width = 41;
  const DetectionBatches changed(set, plain(1), Key(3));
  CHECK(contains(message_of<DataError>([&] { (void)changed.in_order(0, 1); }),
                 "expected a picture of 41 x 20 as two says, got 40 x 20"));
}

TEST_CASE("mirroring turns pixels and boxes together, half of the time, each epoch anew") {
  const DetectionSet set = scene_set("scenes", 40, Key(7));
  DetectionBatchOptions options = plain(8);
  options.mirror = true;
  const DetectionBatches source(set, options, Key(8));
  int mirrored = 0, turned = 0;
  std::vector<bool> of_epoch(40);
  for (std::int64_t t = 0; t < 10; ++t) {
    const DetectionBatch batch = source.batch(t);
    for (std::int64_t n = 0; n < batch.size(); ++n) {
      const auto at = static_cast<std::size_t>(n);
      const std::int64_t i = batch.frames[at].picture;
      const auto& boxes = set.pictures[static_cast<std::size_t>(i)].boxes;
      const DetectionBatch alone = source.in_order(i, 1);
      CHECK(alone.boxes[0][0].box == boxes[0].box);
      const bool mirror = batch.boxes[at][0].box != boxes[0].box;
      if (mirror)
        CHECK(batch.boxes[at][0].box == Box{160 - boxes[0].box.right, boxes[0].box.top,
                                            160 - boxes[0].box.left, boxes[0].box.bottom});
      bool equal = true;
      for (std::int64_t y = 0; y < 128; ++y) {
        for (std::int64_t x = 0; x < 160; ++x)
          equal = equal && batch.images[(n * 128 * 160 + y * 160 + x) * 3] ==
                               alone.images[(y * 160 + (mirror ? 159 - x : x)) * 3];
      }
      REQUIRE(equal);
      mirrored += mirror ? 1 : 0;
      if (t >= 5 && mirror != of_epoch[static_cast<std::size_t>(i)]) ++turned;
      if (t < 5) of_epoch[static_cast<std::size_t>(i)] = mirror;
    }
  }
  // Of 80 and of 40 fair draws: beyond four standard deviations of 4.5 and 3.2 once in 15,000.
  CHECK(std::abs(mirrored - 40) <= 18);
  CHECK(std::abs(turned - 20) <= 13);
}

TEST_CASE("a batch is a function of key and iteration, whatever was asked before or kept") {
  const DetectionSet set = scene_set("scenes", 7, Key(9));
  DetectionBatchOptions options = plain(3);
  options.mirror = true;
  options.jitter = {.brightness = 0.4, .contrast = 0.4, .saturation = 0.4};
  const DetectionBatches source(set, options, Key(10));
  options.cache_bytes = 0;
  const DetectionBatches forgetful(set, options, Key(10));
  CHECK(source.batches_per_epoch() == 3);
  CHECK(source.batch_size(2) == 1);
  std::vector<std::int64_t> seen;
  for (const std::int64_t t : {2, 0, 1, 0}) {
    const DetectionBatch batch = source.batch(t), again = forgetful.batch(t);
    CHECK(batch.images == again.images);
    CHECK(batch.images.shape() == source.shape(t));
    const std::vector<std::int64_t> pictures = source.indices(t);
    if (std::ranges::find(seen, pictures[0]) == seen.end())
      seen.insert(seen.end(), pictures.begin(), pictures.end());
  }
  std::ranges::sort(seen);
  CHECK(seen == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK_THROWS_AS((void)source.in_order(5, 3), ConfigError);
  options.jitter.contrast = 1.5;
  CHECK_THROWS_AS(DetectionBatches(set, options, Key(1)), ConfigError);
  const DetectionSet none{.name = "none", .normalization = imagenet_normalization()};
  CHECK_THROWS_AS(DetectionBatches(none, plain(1), Key(1)), DataError);
}

TEST_CASE("colour jitter changes brightness, then contrast, then saturation, as the page says") {
  const DetectionSet set = scene_set("scenes", 2, Key(11));
  DetectionBatchOptions options = plain(2);
  options.jitter = {.brightness = 0.5, .contrast = 0.3, .saturation = 0.8};
  const DetectionBatches source(set, options, Key(12));
  const DetectionBatch batch = source.batch(0);
  for (std::int64_t n = 0; n < 2; ++n) {
    const std::int64_t i = batch.frames[static_cast<std::size_t>(n)].picture;
    const Key key = Key(12).fold("augment").fold(std::int64_t{0});
    const auto factor = [&](int which, double reach) {
      return 1 - reach + 2 * reach * key.uniform(static_cast<std::uint64_t>(4 * i + which));
    };
    const double b = factor(1, 0.5), c = factor(2, 0.3), s = factor(3, 0.8);
    const Picture picture = read_picture(set, i);
    std::vector<double> v;
    for (const std::uint8_t byte : picture.pixels) v.push_back(std::min(1.0, byte / 255.0 * b));
    const auto grey = [&](std::size_t p) {
      return 0.299 * v[3 * p] + 0.587 * v[3 * p + 1] + 0.114 * v[3 * p + 2];
    };
    const std::size_t pixels = v.size() / 3;
    double mean = 0;
    for (std::size_t p = 0; p < pixels; ++p) mean += grey(p) / static_cast<double>(pixels);
    for (double& each : v) each = std::clamp(mean + (each - mean) * c, 0.0, 1.0);
    double worst = 0;
    for (std::size_t p = 0; p < pixels; ++p) {
      const double g = grey(p);
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const double want = (std::clamp(g + (v[3 * p + channel] - g) * s, 0.0, 1.0) - 0.5) / 0.25;
        const float got =
            batch.images[n * std::ssize(v) + static_cast<std::int64_t>(3 * p + channel)];
        worst = std::max(worst, std::abs(want - double{got}));
      }
    }
    CHECK(worst < 1e-6);  // a float32 of up to 1, less 0.5, times 4
  }
}

TEST_CASE("micro-batches are the batch, cut") {
  const DetectionSet set = scene_set("scenes", 5, Key(13));
  const DetectionBatches source(set, plain(5), Key(14));
  const DetectionBatch whole = source.in_order(0, 5);
  const std::vector<DetectionBatch> parts = micro_batches(source.in_order(0, 5), 3);
  REQUIRE(parts.size() == 3);
  std::int64_t at = 0;
  for (const DetectionBatch& part : parts) {
    CHECK(part.size() == (at < 4 ? 2 : 1));
    CHECK(part.frames[0].picture == at);
    CHECK(part.boxes[0][0].box == whole.boxes[static_cast<std::size_t>(at)][0].box);
    CHECK(part.images[0] == whole.images[at * 128 * 160 * 3]);
    at += part.size();
  }
  CHECK(micro_batches(source.in_order(0, 2), 5).size() == 2);
  CHECK_THROWS_AS(micro_batches(source.in_order(0, 2), 0), ConfigError);
}

TEST_CASE("scenes have 1 to 5 shapes inside, tightly framed, and stand out from the ground") {
  std::vector<int> shapes(6), classes(3);
  for (std::int64_t i = 0; i < 60; ++i) {
    CAPTURE(i);
    const std::vector<BoxLabel> boxes = scene_boxes(Key(15), i);
    REQUIRE(boxes.size() >= 1);
    REQUIRE(boxes.size() <= 5);
    ++shapes[boxes.size()];
    for (const BoxLabel& each : boxes) {
      ++classes[static_cast<std::size_t>(each.label)];
      CHECK(each.box.left >= 0);
      CHECK(each.box.top >= 0);
      CHECK(each.box.right <= 160);
      CHECK(each.box.bottom <= 128);
      CHECK(each.box.width() >= 19);
      CHECK(each.box.width() <= 61);
    }
  }
  CHECK(std::ranges::count(shapes, 0) == 1);  // of 0 shapes
  CHECK(std::ranges::min(classes) > 30);      // of about 180
  // A lone disc has its colour 2 pixels inside its box, in the middle of each side, and not 2
  // pixels outside. Grain moves two bytes apart by at most 0.16 of 255.
  int discs = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    const std::vector<BoxLabel> boxes = scene_boxes(Key(15), i);
    if (boxes.size() != 1 || boxes[0].label != 0) continue;
    ++discs;
    const Picture picture = scene(Key(15), i);
    const Box& box = boxes[0].box;
    const float x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
    const auto apart = [&](float px, float py) {  // from the middle, in the farthest channel
      const auto at = [&](float u, float v) {
        return picture.pixels.data() +
               (static_cast<std::int64_t>(v) * 160 + static_cast<std::int64_t>(u)) * 3;
      };
      int most = 0;
      for (int c = 0; c < 3; ++c) most = std::max(most, std::abs(at(px, py)[c] - at(x, y)[c]));
      return most;
    };
    for (const float to : {box.left + 2, box.right - 2}) CHECK(apart(to, y) <= 42);
    for (const float to : {box.top + 2, box.bottom - 2}) CHECK(apart(x, to) <= 42);
    if (box.left > 2) CHECK(apart(box.left - 2, y) > 20);
    if (box.bottom < 126) CHECK(apart(x, box.bottom + 2) > 20);
  }
  CHECK(discs > 5);
  CHECK(scene(Key(15), 3).pixels == scene(Key(15), 3).pixels);
  CHECK(scene(Key(15), 3).pixels != scene(Key(15), 4).pixels);
  CHECK(scene_set("s", 3, Key(1)).fingerprint() != scene_set("s", 3, Key(2)).fingerprint());
}

TEST_CASE("drawing frames boxes in the colour of their class and stays inside the picture") {
  Picture picture{.height = 40, .width = 60, .pixels = std::vector<std::uint8_t>(40 * 60 * 3, 0)};
  const std::vector<std::string> classes{"a", "b\xc3\xa9"};
  const auto at = [&](int x, int y) {
    const std::uint8_t* p = picture.pixels.data() + (y * 60 + x) * 3;
    return std::vector<int>{p[0], p[1], p[2]};
  };
  const std::vector<int> black{0, 0, 0}, white{255, 255, 255};
  draw_detections(picture, {}, std::vector<BoxLabel>{{.box = {2, 3, 8, 9}}}, classes);
  CHECK(at(2, 3) == white);
  CHECK(at(7, 8) == white);
  CHECK(at(3, 4) == black);
  CHECK(at(8, 9) == black);
  draw_detections(
      picture,
      std::vector<Detection>{
          {{10, 20, 30, 35}, 0, 0.5f}, {{-50, -50, 500, 500}, 1, 2}, {{70, 3, 70, 3}, 0, 0}},
      {}, classes);
  const std::vector<int> first = at(10, 21);
  CHECK(first != black);
  CHECK(first != white);
  CHECK(at(29, 34) == first);
  CHECK(at(31, 34) == black);
  CHECK(at(59, 39) != first);  // the other class
  CHECK(contains(message_of<ConfigError>([&] {
                   draw_detections(picture, std::vector<Detection>{{{}, 2, 0}}, {}, classes);
                 }),
                 "expected labels 0 .. 1, got 2"));

  const Picture random = random_picture(5, 9, Key(16));
  const Picture back = decode_picture(encode_png(random), "x");
  CHECK(back.width == 9);
  CHECK(back.pixels == random.pixels);
  CHECK(contains(message_of<DataError>([&] { write_png(random, "/nowhere/x.png"); }),
                 "cannot be written"));
  CHECK_THROWS_AS(write_png(random, "/dev/full"), DataError);
}
