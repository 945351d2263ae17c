#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "data/anchors.h"
#include "data/box_decoding.h"

using namespace ebb;

namespace {

Box random_box(Key key, std::uint64_t at) {
  const auto number = [&](std::uint64_t i) { return key.uniform(4 * at + i); };
  const double left = 80 * number(0), top = 80 * number(1);
  return {static_cast<float>(left), static_cast<float>(top),
          static_cast<float>(left + 1 + 40 * number(2)),
          static_cast<float>(top + 1 + 40 * number(3))};
}

double overlap(const Box& a, const Box& b) {
  const double w = std::min(a.right, b.right) - std::max(a.left, b.left),
               h = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const double both = w > 0 && h > 0 ? w * h : 0;
  return both / (double{a.width()} * a.height() + double{b.width()} * b.height() - both);
}

bool close(float got, double want) {
  return std::abs(double{got} - want) <= 1e-5 * (1 + std::abs(want));
}

}  // namespace

TEST_CASE(
    "anchors are three sizes of three shapes about the centre of every place of every level") {
  const Anchors anchors = make_anchors({.strides = {8, 16}, .base = 4}, 12, 20);
  CHECK(anchors.ends == std::vector<std::int64_t>{2 * 3 * 9, (2 * 3 + 1 * 2) * 9});
  std::size_t at = 0;
  struct Level {
    double stride;
    int rows, cols;
  };
  for (const Level& level : {Level{8, 2, 3}, Level{16, 1, 2}}) {
    for (int y = 0; y < level.rows; ++y) {
      for (int x = 0; x < level.cols; ++x) {
        for (const double octave : {0.0, 1.0 / 3, 2.0 / 3}) {
          for (const double ratio : {0.5, 1.0, 2.0}) {
            CAPTURE(at);
            const double area = std::pow(4 * level.stride * std::pow(2, octave), 2);
            const double width = std::sqrt(area / ratio), height = area / width;
            const Box& box = anchors.boxes.at(at++);
            CHECK(close(box.left, (x + 0.5) * level.stride - width / 2));
            CHECK(close(box.right, (x + 0.5) * level.stride + width / 2));
            CHECK(close(box.top, (y + 0.5) * level.stride - height / 2));
            CHECK(close(box.bottom, (y + 0.5) * level.stride + height / 2));
          }
        }
      }
    }
  }
  CHECK(at == anchors.boxes.size());
  CHECK(anchors.boxes[1] == Box{-12, -12, 20, 20});  // the first square one: 32 about (4, 4)
  CHECK_THROWS_AS(make_anchors({.strides = {}}, 8, 8), ConfigError);
  CHECK_THROWS_AS(make_anchors({.strides = {8, 0}}, 8, 8), ConfigError);
  CHECK_THROWS_AS(make_anchors({.base = 0}, 8, 8), ConfigError);
}

TEST_CASE("an anchor finds the box that it overlaps most, from 0.5 on, and counts from below 0.4") {
  struct Case {
    const char* why;
    std::vector<BoxLabel> boxes;
    Match::Kind kind;
    int box;
  };
  // The anchor is [0, 0, 10, 10]; a box [0, 0, 10, h] with h <= 10 overlaps it by h / 10.
  const auto high = [](float h, bool difficult = false, bool crowd = false) {
    return BoxLabel{.box = {0, 0, 10, h}, .difficult = difficult, .crowd = crowd};
  };
  const auto found = Match::Kind::box, ignored = Match::Kind::ignored,
             nothing = Match::Kind::nothing;
  const Case cases[] = {{"no box", {}, nothing, -1},
                        {"just enough", {high(5)}, found, 0},
                        {"between", {high(4.5f)}, ignored, -1},
                        {"the lower end", {high(4)}, ignored, -1},
                        {"below", {high(3.9f)}, nothing, -1},
                        {"the better one", {high(6), high(7)}, found, 1},
                        {"the first of equals", {high(6), high(6)}, found, 0},
                        {"a difficult one is not to be found", {high(9, true)}, ignored, -1},
                        {"nor a crowd", {high(9, false, true)}, ignored, -1},
                        {"beside a difficult one", {high(9, true), high(6)}, found, 1},
                        {"a difficult one far away", {high(3, true)}, nothing, -1}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::array anchors{Box{0, 0, 10, 10}};
    const Match match = match_anchors(anchors, c.boxes).at(0);
    CHECK(match.kind == c.kind);
    CHECK(match.box == c.box);
  }
  for (const MatchThresholds& bad :
       {MatchThresholds{0.4, 0.5}, MatchThresholds{0.5, 0}, MatchThresholds{1.5, 0.4}})
    CHECK_THROWS_AS(match_anchors({}, {}, bad), ConfigError);
}

TEST_CASE("matches of random anchors and boxes are those of the definition") {
  std::vector<Box> anchors;
  std::vector<BoxLabel> boxes;
  for (std::uint64_t i = 0; i < 3000; ++i) anchors.push_back(random_box(Key(1), i));
  for (std::uint64_t i = 0; i < 12; ++i)
    boxes.push_back({.box = random_box(Key(2), i), .difficult = i % 4 == 3});
  const std::vector<Match> matches = match_anchors(anchors, boxes, {.found = 0.3, .ignored = 0.2});
  std::array<int, 3> kinds{};
  for (std::size_t a = 0; a < anchors.size(); ++a) {
    int best = -1;
    bool near = false;
    for (std::size_t b = 0; b < boxes.size(); ++b) {
      const double o = overlap(anchors[a], boxes[b].box);
      near = near || o >= 0.2;
      if (!boxes[b].difficult && o >= 0.3 &&
          (best < 0 || o > overlap(anchors[a], boxes[static_cast<std::size_t>(best)].box)))
        best = static_cast<int>(b);
    }
    CHECK(matches[a].box == best);
    const Match::Kind kind = best >= 0 ? Match::Kind::box
                             : near    ? Match::Kind::ignored
                                       : Match::Kind::nothing;
    CHECK(matches[a].kind == kind);
    ++kinds[static_cast<std::size_t>(kind)];
  }
  CHECK(std::ranges::min(kinds) >= 20);  // each occurs
}

TEST_CASE("a box is coded by its centre and the logarithms of its sides, as seen from an anchor") {
  const Box anchor{10, 20, 30, 60};                                        // 20 x 40 about (20, 40)
  const std::array<float, 4> code = encode_box(anchor, {22, 40, 32, 80});  // 10 x 40 about (27, 60)
  CHECK(close(code[0], 7.0 / 20 / 0.1));
  CHECK(close(code[1], 20.0 / 40 / 0.1));
  CHECK(close(code[2], std::log(0.5) / 0.2));
  CHECK(code[3] == 0.0f);
  for (std::uint64_t i = 0; i < 200; ++i) {
    const Box from = random_box(Key(3), i), to = random_box(Key(4), i);
    const Box back = decode_box(from, encode_box(from, to));
    for (const auto edge : {&Box::left, &Box::top, &Box::right, &Box::bottom})
      CHECK(std::abs(back.*edge - to.*edge) <= 1e-3f);
  }
  // Sides stop growing at 62.5 times the anchor's.
  for (const float huge : {21.0f, 1e30f, std::numeric_limits<float>::infinity()}) {
    const Box box = decode_box(anchor, std::array{0.0f, 0.0f, huge, huge});
    CHECK(box == Box{20 - 625, 40 - 1250, 20 + 625, 40 + 1250});
  }
}

TEST_CASE("suppression drops what overlaps a better box of its class, in the order of scores") {
  const Box a{0, 0, 10, 10}, nearly_a{0, 0, 10, 9}, half_a{0, 0, 10, 5}, far{50, 50, 60, 60};
  struct Case {
    const char* why;
    std::vector<Detection> found;
    std::vector<std::size_t> kept;  // places in `found`
  };
  const Case cases[] = {
      {"the better one stays", {{nearly_a, 0, 0.6f}, {a, 0, 0.9f}}, {1}},
      {"other classes do not meet", {{a, 0, 0.6f}, {a, 1, 0.9f}}, {1, 0}},
      {"exactly the limit is no more than it", {{a, 0, 0.9f}, {half_a, 0, 0.8f}}, {0, 1}},
      {"of equal scores the first", {{nearly_a, 0, 0.5f}, {a, 0, 0.5f}}, {0}},
      {"what is dropped drops nothing",
       {{{0, 0, 10, 10}, 0, 0.9f}, {{3, 0, 13, 10}, 0, 0.8f}, {{6, 0, 16, 10}, 0, 0.7f}},
       {0, 2}},
      {"only so many", {{a, 0, 0.1f}, {far, 0, 0.2f}, {a, 1, 0.3f}, {far, 1, 0.4f}}, {3, 2, 1}}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const std::vector<Detection> kept = suppress(c.found, 0.5, 3);
    REQUIRE(kept.size() == c.kept.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
      CHECK(kept[i].box == c.found[c.kept[i]].box);
      CHECK(kept[i].label == c.found[c.kept[i]].label);
    }
  }
}

TEST_CASE("suppression is that of each class by itself, then the best of all classes") {
  std::vector<Detection> found;
  const Key key(6);
  for (std::uint64_t i = 0; i < 400; ++i)
    found.push_back({random_box(Key(5), i), static_cast<std::int32_t>(key.below(2 * i, 3)),
                     static_cast<float>(key.below(2 * i + 1, 50)) / 50.0f});
  std::vector<std::size_t> kept;
  for (std::int32_t label = 0; label < 3; ++label) {
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < found.size(); ++i)
      if (found[i].label == label) left.push_back(i);
    while (!left.empty()) {
      std::size_t best = left[0];
      for (const std::size_t i : left)
        if (found[i].score > found[best].score) best = i;
      kept.push_back(best);
      std::erase_if(left, [&](std::size_t i) {
        return i == best || overlap(found[best].box, found[i].box) > 0.3;
      });
    }
  }
  std::ranges::sort(kept, [&](std::size_t a, std::size_t b) {
    return found[a].score != found[b].score ? found[a].score > found[b].score : a < b;
  });
  kept.resize(60);
  const std::vector<Detection> got = suppress(found, 0.3, 60);
  REQUIRE(got.size() == kept.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i].box == found[kept[i]].box);
}

TEST_CASE("detections are the best candidates of every level, cut, scaled back and suppressed") {
  // Two levels of one place: nine anchors each, [-12 .. 20] and [-24 .. 40] the square smallest.
  const Anchors anchors = make_anchors({.strides = {8, 16}}, 8, 8);
  constexpr std::size_t count = 18, classes = 2;
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const PictureFrame frame{.scale_x = 2, .scale_y = 0.5, .width = 7, .height = 5};
  std::vector<float> logits(count * classes, -inf), codes(count * 4, 0.0f);
  const auto found = [&](const BoxDecoding& decoding) {
    return decode_detections(anchors, logits, codes, frame, decoding);
  };
  CHECK(found({}).empty());

  logits[1 * classes + 1] = 0;    // anchor 1, class 1: score 1/2
  logits[10 * classes + 0] = 2;   // of the second level
  logits[4 * classes + 0] = nan;  // never found
  std::vector<Detection> got = found({});
  REQUIRE(got.size() == 2);
  CHECK(got[0].label == 0);
  CHECK(close(got[0].score, 1 / (1 + std::exp(-2.0))));
  CHECK(got[1].label == 1);
  CHECK(got[1].score == 0.5f);
  // Both cover all of the frame, which is 7 / 2 wide and 5 / 0.5 high in the picture.
  CHECK(got[0].box == Box{0, 0, 3.5f, 10});
  CHECK(found({.score_threshold = 0.5}).size() == 1);  // no more than the threshold is not found

  logits[2 * classes + 1] = 0.0f;  // as good as anchor 1 and on the same box, but later
  CHECK(found({}).size() == 2);
  CHECK(found({.suppression = 1}).size() == 3);
  CHECK(found({.suppression = 1, .candidates = 1}).size() == 2);  // one of each level
  CHECK(found({.suppression = 1, .most = 1}).size() == 1);

  codes[1 * 4] = 1e6f;  // far to the right: nothing of it is left
  codes[10 * 4 + 1] = nan;
  CHECK(found({}).size() == 1);
  CHECK_THROWS_AS(decode_detections(anchors, logits, std::vector<float>(4), frame), ShapeError);
  CHECK_THROWS_AS(decode_detections(anchors, std::vector<float>(19), codes, frame), ShapeError);
}
