#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/key.h"
#include "data/average_precision.h"
#include "errors.h"

using namespace ebb;

namespace {

using Truth = std::vector<std::vector<BoxLabel>>;
using Found = std::vector<std::vector<Detection>>;

constexpr Box kA{0, 0, 10, 10}, kB{20, 20, 30, 30}, kNearA{0, 0, 10, 8};  // IoU with A 0.8

BoxLabel wanted(Box box, std::int32_t label = 0) { return {.box = box, .label = label}; }
BoxLabel difficult(Box box) { return {.box = box, .difficult = true}; }
BoxLabel crowd(Box box) { return {.box = box, .crowd = true}; }
Detection seen(Box box, float score, std::int32_t label = 0) { return {box, label, score}; }

std::optional<double> ap(const Truth& truth, const Found& found, ApRule rule, double iou = 0.5) {
  return average_precision(truth, found, 1, {.rule = rule, .iou = {iou}}).by_class[0];
}

// The definition once more, without anything kept from one detection to the next: whether a
// detection is right is asked of those before it. Boxes are whole numbers, so fractions decide.
struct Oracle {
  const Truth& truth;
  const Found& found;
  std::int32_t label;
  ApOptions options;
  int twentieths;  // the least overlap

  struct Place {
    std::size_t picture, index;
  };
  enum class Says { right, wrong, nothing };

  struct Fraction {
    std::int64_t over, under;
    bool less_than(const Fraction& other) const { return over * other.under < other.over * under; }
  };

  bool coco() const { return options.rule == ApRule::coco; }
  const Detection& at(const Place& p) const { return found[p.picture][p.index]; }

  Fraction overlap(const Box& d, const BoxLabel& t) const {
    std::int64_t shared = 0, own = 0, other = 0;  // pixels, counted
    const int more = options.inclusive ? 1 : 0;
    const auto in = [&](const Box& b, int x, int y) {
      return static_cast<float>(x) >= b.left &&
             static_cast<float>(x) < b.right + static_cast<float>(more) &&
             static_cast<float>(y) >= b.top &&
             static_cast<float>(y) < b.bottom + static_cast<float>(more);
    };
    for (int y = 0; y < 10; ++y) {
      for (int x = 0; x < 10; ++x) {
        shared += in(d, x, y) && in(t.box, x, y) ? 1 : 0;
        own += in(d, x, y) ? 1 : 0;
        other += in(t.box, x, y) ? 1 : 0;
      }
    }
    const std::int64_t all = t.crowd && coco() ? own : own + other - shared;
    return {all > 0 ? shared : 0, all > 0 ? all : 1};
  }

  bool before(const Place& a, const Place& b) const {
    if (at(a).score != at(b).score) return at(a).score > at(b).score;
    return a.picture != b.picture ? a.picture < b.picture : a.index < b.index;
  }

  bool ignored(const BoxLabel& t) const { return t.difficult || t.crowd; }

  // Of voc: the box that a detection is about, if any.
  std::optional<std::size_t> best_voc(const Place& d) const {
    std::optional<std::size_t> best;
    for (std::size_t t = 0; t < truth[d.picture].size(); ++t) {
      const BoxLabel& target = truth[d.picture][t];
      if (target.label != label) continue;
      if (!best ||
          overlap(at(d).box, truth[d.picture][*best]).less_than(overlap(at(d).box, target)))
        best = t;
    }
    if (best && overlap(at(d).box, truth[d.picture][*best]).less_than({twentieths, 20})) best = {};
    return best;
  }

  // Of coco: the box that a detection takes, if any; asks the same of those before it.
  std::optional<std::size_t> taken_coco(const Place& d) const {
    for (const bool second_choice : {false, true}) {
      std::optional<std::size_t> best;
      for (std::size_t t = 0; t < truth[d.picture].size(); ++t) {
        const BoxLabel& target = truth[d.picture][t];
        if (target.label != label || ignored(target) != second_choice) continue;
        bool gone = false;
        for (const Place& e : counted_before(d))
          gone = gone || (e.picture == d.picture && !target.crowd && taken_coco(e) == t);
        if (gone || overlap(at(d).box, target).less_than({twentieths, 20})) continue;
        if (!best ||
            !overlap(at(d).box, target).less_than(overlap(at(d).box, truth[d.picture][*best])))
          best = t;
      }
      if (best) return best;
    }
    return {};
  }

  std::vector<Place> all() const {
    std::vector<Place> places;
    for (std::size_t p = 0; p < found.size(); ++p) {
      for (std::size_t i = 0; i < found[p].size(); ++i) {
        const Place place{p, i};
        if (found[p][i].label != label) continue;
        std::int64_t better = 0;
        for (std::size_t j = 0; j < found[p].size(); ++j)
          better += found[p][j].label == label && before({p, j}, place) ? 1 : 0;
        if (!coco() || better < options.most) places.push_back(place);
      }
    }
    return places;
  }
  std::vector<Place> counted_before(const Place& d) const {
    std::vector<Place> places;
    for (const Place& e : all())
      if (before(e, d)) places.push_back(e);
    return places;
  }

  Says says(const Place& d) const {
    const auto best = coco() ? taken_coco(d) : best_voc(d);
    if (!best) return Says::wrong;
    if (ignored(truth[d.picture][*best])) return Says::nothing;
    if (coco()) return Says::right;
    for (const Place& e : counted_before(d))
      if (e.picture == d.picture && best_voc(e) == best) return Says::wrong;
    return Says::right;
  }

  std::optional<double> value() const {
    std::int64_t boxes = 0;
    for (const auto& picture : truth)
      for (const BoxLabel& t : picture) boxes += t.label == label && !ignored(t) ? 1 : 0;
    if (boxes == 0) return {};
    std::vector<std::pair<std::int64_t, double>> curve;  // right ones and precision
    for (const Place& d : all()) {
      std::int64_t right = 0, counted = 0;
      std::vector<Place> so_far = counted_before(d);
      so_far.push_back(d);
      for (const Place& e : so_far) {
        right += says(e) == Says::right ? 1 : 0;
        counted += says(e) == Says::nothing ? 0 : 1;
      }
      if (counted > 0)
        curve.emplace_back(right, static_cast<double>(right) / static_cast<double>(counted));
    }
    const auto precision_at = [&](std::int64_t k, std::int64_t of) {  // at recall k / of
      double best = 0;
      for (const auto& [right, precision] : curve)
        if (right * of >= k * boxes) best = std::max(best, precision);
      return best;
    };
    double sum = 0;
    if (options.rule == ApRule::voc) {
      for (std::int64_t k = 1; k <= boxes; ++k) sum += precision_at(k, boxes);
      return sum / static_cast<double>(boxes);
    }
    const int steps = coco() ? 100 : 10;
    for (int k = 0; k <= steps; ++k) sum += precision_at(k, steps);
    return sum / (steps + 1);
  }
};

struct Draws {
  Key key;
  std::uint64_t counter = 0;
  int below(int n) { return static_cast<int>(key.below(counter++, static_cast<std::uint64_t>(n))); }
  Box box() {
    const int x = below(4), y = below(4);
    return {static_cast<float>(x), static_cast<float>(y), static_cast<float>(x + 1 + below(5)),
            static_cast<float>(y + 1 + below(5))};
  }
};

}  // namespace

TEST_CASE("average precision of cases that can be counted by hand") {
  struct Case {
    const char* why;
    Truth truth;
    Found found;
    double voc07, voc, coco;
  };
  const double none = std::numeric_limits<double>::quiet_NaN();
  const Case cases[] = {
      {"all found", {{wanted(kA), wanted(kB)}}, {{seen(kA, 0.9f), seen(kB, 0.8f)}}, 1, 1, 1},
      {"nothing found", {{wanted(kA)}}, {{}}, 0, 0, 0},
      {"nothing to be found", {{}}, {{seen(kA, 0.9f)}}, none, none, none},
      // Recall 1/2 at precision 1: recalls 0 .. 0.5 are 6 of 11 points, 51 of 101.
      {"half found", {{wanted(kA), wanted(kB)}}, {{seen(kA, 0.9f)}}, 6 / 11.0, 0.5, 51 / 101.0},
      {"the wrong one first halves the precision",
       {{wanted(kA)}},
       {{seen(kB, 0.9f), seen(kA, 0.8f)}},
       0.5,
       0.5,
       0.5},
      {"a duplicate is wrong",
       {{wanted(kA), wanted(kB)}},
       {{seen(kA, 0.9f), seen(kA, 0.8f), seen(kB, 0.7f)}},
       (6 + 5 * 2 / 3.0) / 11,
       (1 + 2 / 3.0) / 2,
       (51 + 50 * 2 / 3.0) / 101},
      {"equal scores: the order of the list",
       {{wanted(kA)}},
       {{seen(kB, 0.5f), seen(kA, 0.5f)}},
       0.5,
       0.5,
       0.5},
      {"equal scores: the order of the pictures",
       {{wanted(kA)}, {wanted(kB)}},
       {{seen(kA, 0.5f)}, {seen(kA, 0.5f)}},
       6 / 11.0,
       0.5,
       51 / 101.0},
      {"a detection of a difficult box does not count, twice neither by VOC's rule",
       {{difficult(kB), wanted(kA)}},
       {{seen(kB, 0.9f), seen(kB, 0.8f), seen(kA, 0.7f)}},
       1,
       1,
       0.5},
      {"a difficult box that is not found does not count",
       {{difficult(kB), wanted(kA)}},
       {{seen(kA, 0.7f)}},
       1,
       1,
       1},
      {"only difficult boxes", {{difficult(kA)}}, {{seen(kA, 0.9f)}}, none, none, none},
      // Overlap 1/4 with the crowd, but all of it lies inside: COCO does not count it, however
      // often.
      {"detections within a crowd",
       {{crowd({0, 0, 20, 20}), wanted(kB)}},
       {{seen(kA, 0.9f), seen(kA, 0.8f), seen(kB, 0.7f)}},
       1 / 3.0,
       1 / 3.0,
       1},
      // The box A is gone, and the detection overlaps the next enough: COCO takes that, VOC does
      // not.
      {"the second best box",
       {{wanted(kA), wanted(kNearA)}},
       {{seen(kA, 0.9f), seen(kA, 0.8f)}},
       6 / 11.0,
       0.5,
       1},
      {"overlap of exactly the least matches",
       {{wanted({0, 0, 10, 20})}},
       {{seen(kA, 0.9f)}},
       1,
       1,
       1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const double expected[] = {c.voc07, c.voc, c.coco};
    for (const ApRule rule : {ApRule::voc07, ApRule::voc, ApRule::coco}) {
      CAPTURE(static_cast<int>(rule));
      const double want = expected[static_cast<int>(rule)];
      const auto got = ap(c.truth, c.found, rule);
      CHECK(got.has_value() == !std::isnan(want));
      if (got) CHECK(std::abs(*got - want) < 1e-12);
    }
  }
}

TEST_CASE("average precision equals its definition on random small sets") {
  Draws draw{Key(21)};
  for (int round = 0; round < 3000; ++round) {
    CAPTURE(round);
    const auto pictures = static_cast<std::size_t>(1 + draw.below(3));
    Truth truth(pictures);
    Found found(pictures);
    for (std::size_t p = 0; p < pictures; ++p) {
      for (int n = draw.below(4); n > 0; --n)
        truth[p].push_back({.box = draw.box(),
                            .label = draw.below(2),
                            .difficult = draw.below(5) == 0,
                            .crowd = draw.below(6) == 0});
      for (int n = draw.below(5); n > 0; --n) {
        const bool close = !truth[p].empty() && draw.below(3) > 0;
        const Box box =
            close
                ? truth[p][static_cast<std::size_t>(draw.below(static_cast<int>(truth[p].size())))]
                      .box
                : draw.box();
        found[p].push_back({box, draw.below(2), static_cast<float>(draw.below(4)) / 4});
      }
    }
    const int twentieths = 1 + draw.below(20);
    const ApOptions options{.rule = static_cast<ApRule>(draw.below(3)),
                            .iou = {twentieths / 20.0},
                            .inclusive = draw.below(2) == 0,
                            .most = draw.below(3) == 0 ? 1 : 100};
    const AveragePrecision got = average_precision(truth, found, 2, options);
    double sum = 0;
    int present = 0;
    for (const std::int32_t label : {0, 1}) {
      const auto want = Oracle{truth, found, label, options, twentieths}.value();
      const auto& own = got.by_class[static_cast<std::size_t>(label)];
      REQUIRE(own.has_value() == want.has_value());
      if (!want) continue;
      REQUIRE(std::abs(*own - *want) < 1e-12);
      sum += *want;
      ++present;
    }
    REQUIRE(got.mean.has_value() == (present > 0));
    if (present > 0) REQUIRE(std::abs(*got.mean - sum / present) < 1e-12);
  }
}

TEST_CASE("COCO's average precision is the mean over ten overlaps") {
  // IoU 0.8: right at .50 .. .80, seven of ten.
  const AveragePrecision result =
      average_precision(Truth{{wanted(kA)}}, Found{{seen(kNearA, 0.9f)}}, 2, ApOptions::coco());
  CHECK(std::abs(*result.by_class[0] - 0.7) < 1e-12);
  CHECK(!result.by_class[1]);
  CHECK(std::abs(*result.mean - 0.7) < 1e-12);
  CHECK(result.boxes == std::vector<std::int64_t>{1, 0});
}

TEST_CASE("boxes that end with their last pixel are one pixel larger") {
  // 3 x 1 and 1 x 1 pixels share 1 of 3; as edges, 2 x 0 and 0 x 0 share nothing.
  const Truth truth{{wanted({1, 1, 3, 1})}};
  const Found found{{seen({1, 1, 1, 1}, 0.5f)}};
  const auto value = [&](bool inclusive) {
    return *average_precision(truth, found, 1, {.iou = {0.3}, .inclusive = inclusive}).mean;
  };
  CHECK(value(true) == 1);
  CHECK(value(false) == 0);
}

TEST_CASE("average precision refuses what it cannot mean") {
  const Truth truth{{wanted(kA)}};
  const auto error = [&](const Found& found, const ApOptions& options) {
    return test::error_of<Error>([&] { average_precision(truth, found, 1, options); });
  };
  CHECK(test::contains(error({}, {}), "expected detections of 1 pictures, got 0 lists"));
  CHECK(test::contains(error({{seen(kA, 1, 1)}}, {}),
                       "label 1 of picture 0 is none of the classes 0 .. 0"));
  CHECK(test::contains(error({{seen(kA, std::nanf(""))}}, {}), "has the score nan"));
  CHECK(test::contains(error({{}}, {.iou = {0}}), "above 0 and at most 1, got 0"));
  CHECK(test::contains(error({{}}, {.iou = {}}), "expected an overlap"));
  CHECK(
      test::contains(test::config_error_of([] { parse_ap_rule("cocoo"); }), "did you mean 'coco'"));
}
