#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/loss.h"
#include "layers/shape_ops.h"
#include "models/detect/network.h"
#include "passes.h"
#include "train/tasks/detection.h"

using namespace ebb;
using namespace ebb::test;

namespace {

std::int64_t forward_macs(const CostLedger& ledger, std::string_view beginning = "") {
  uint128 macs = 0;
  for (const CostLedger::Row& row : ledger.rows()) {
    if (row.site.name.starts_with(beginning))
      macs += row.cells[static_cast<std::size_t>(Product::forward)].macs;
  }
  return static_cast<std::int64_t>(macs);
}

/// A network so small that everything can be tried: one channel-rich level less than `tiny`.
RetinaNetConfig small_config() {
  RetinaNetConfig config = retinanet_config("tiny");
  config.trunk.widths = {4, 4, 8, 8};
  config.width = 8;
  config.head_convs = 1;
  return config;
}

}  // namespace

TEST_CASE("one picture costs the MACs that follow from the shapes") {
  // RetinaNet-R50 on 800 x 1333, padded to 800 x 1344, with 80 classes. Places: 100 x 168, 50 x 84,
  // 25 x 42, 13 x 21 and 7 x 11.
  constexpr std::int64_t p2 = 67200, p3 = 16800, p4 = 4200, p5 = 1050, p6 = 273, p7 = 77;
  constexpr std::int64_t conv3x3 = 256 * 256 * 9;
  constexpr std::int64_t r50 = 400 * 672 * std::int64_t{64} * 7 * 7 * 3 +
                               p2 * (64 * 64 + 64 * 64 * 9 + 64 * 256 + 64 * 256) +
                               p2 * 2 * (256 * 64 + 64 * 64 * 9 + 64 * 256) + p2 * (256 * 128) +
                               p3 * (128 * 128 * 9 + 128 * 512 + 256 * 512) +
                               p3 * 3 * (512 * 128 + 128 * 128 * 9 + 128 * 512) + p3 * (512 * 256) +
                               p4 * (256 * 256 * 9 + 256 * 1024 + 512 * 1024) +
                               p4 * 5 * (1024 * 256 + 256 * 256 * 9 + 256 * 1024) +
                               p4 * (1024 * 512) + p5 * (512 * 512 * 9 + 512 * 2048 + 1024 * 2048) +
                               p5 * 2 * (2048 * 512 + 512 * 512 * 9 + 512 * 2048) +
                               256 * (p3 * 512 + p4 * 1024 + p5 * 2048) + conv3x3 * (p3 + p4 + p5) +
                               p6 * (2048 * 256 * 9) + p7 * conv3x3 +
                               (p3 + p4 + p5 + p6 + p7) * (8 * conv3x3 + 256 * 9 * 9 * (80 + 4));
  // tiny on 320 x 320 with 3 classes: 40 x 40, 20 x 20 and 10 x 10 places.
  constexpr std::int64_t tiny =
      160 * 160 * 16 * 7 * 7 * 3 + 6400 * 2 * (16 * 16 * 9) +
      1600 * (16 * 32 * 9 + 32 * 32 * 9 + 16 * 32) + 400 * (32 * 64 * 9 + 64 * 64 * 9 + 32 * 64) +
      100 * (64 * 128 * 9 + 128 * 128 * 9 + 64 * 128) + 64 * (1600 * 32 + 400 * 64 + 100 * 128) +
      2100 * (64 * 64 * 9) + 2100 * (4 * 64 * 64 * 9 + 64 * 9 * 9 * (3 + 4));
  struct Case {
    const char* arch;
    std::int64_t height, width;
    int classes;
    std::int64_t macs, heads;  // heads 0: not looked at
  };
  const Case cases[] = {{"retinanet-r50", 800, 1344, 80, r50, 0},
                        {"tiny", 320, 320, 3, tiny, 0},
                        {"retinanet-r18", 224, 224, 20, 7958534144, 5471852544},
                        {"retinanet-r101", 224, 224, 20, 14135826432, 5471852544}};
  for (const Case& c : cases) {
    CAPTURE(c.arch);
    Bench bench;
    const auto network = make_retinanet(retinanet_config(c.arch), c.classes, bench.params, Key(1));
    Pass pass = bench.pass();
    pass.counting = true;
    const auto [logits, codes] =
        network.forward(pass, pass.tape.constant(Tensor::shape_only({1, c.height, c.width, 3})));
    CHECK(forward_macs(bench.ledger) == c.macs);
    if (c.heads > 0) CHECK(forward_macs(bench.ledger, "head.") == c.heads);
    const Anchors anchors = make_anchors(network.anchors, c.height, c.width);
    const std::int64_t count = std::ssize(anchors.boxes);
    CHECK(pass.tape.shape(logits) == Shape{1, count, c.classes});
    CHECK(pass.tape.shape(codes) == Shape{1, count, 4});
  }
  CHECK_THROWS_AS(retinanet_config("retinanet-r19"), ConfigError);
}

TEST_CASE(
    "a network on any size of picture, with P6 and P7 and without, has an output per anchor") {
  for (const bool extra : {false, true}) {
    RetinaNetConfig config = small_config();
    config.extra = extra;
    if (extra) config.anchors.strides = {8, 16, 32, 64, 128};
    Bench bench;
    const auto network = make_retinanet(config, 2, bench.params, Key(1));
    Pass pass = bench.pass();
    const auto [logits, codes] =
        network.forward(pass, pass.tape.constant(random_tensor({2, 41, 75, 3}, Key(2))));
    const std::int64_t count = std::ssize(make_anchors(network.anchors, 41, 75).boxes);
    CHECK(pass.tape[logits].shape() == Shape{2, count, 2});
    CHECK(pass.tape[codes].shape() == Shape{2, count, 4});
    for (const float logit : pass.tape[logits].values())
      REQUIRE(std::abs(1 / (1 + std::exp(-logit)) - 0.01) < 0.01);  // the prior
  }
}

TEST_CASE("gradients of the heads are the sums of those of the levels") {
  Bench bench;
  const auto network = make_retinanet(small_config(), 2, bench.params, Key(1));
  const Tensor images = random_tensor({1, 64, 64, 3}, Key(2));
  const Anchors anchors = make_anchors(network.anchors, 64, 64);
  const auto gradients = [&](std::int64_t first, std::int64_t last) {
    Pass pass = bench.pass();
    const auto [logits, codes] = network.forward(pass, pass.tape.constant(images));
    const Var part = slice(pass, logits, 1, first, last);
    return pass.tape.backward(dot(pass, part, Tensor::filled(pass.tape.shape(part), 1.0f)));
  };
  const Gradients all = gradients(0, anchors.ends.back());
  const auto of_conv = static_cast<std::size_t>(bench.params.id("head.class.conv1.weight").index);
  std::vector<double> sum(static_cast<std::size_t>(all[of_conv].size()));
  std::int64_t first = 0;
  for (const std::int64_t end : anchors.ends) {
    const Gradients of_level = gradients(first, end);
    CHECK(largest_magnitude(of_level[of_conv]) > 0);
    for (std::size_t i = 0; i < sum.size(); ++i)
      sum[i] += double{of_level[of_conv][static_cast<std::int64_t>(i)]};
    first = end;
  }
  // Each gradient is a sum of some hundred products; 64 units of the largest cover their roundings.
  const double bound = 64 * kUnit * largest_magnitude(all[of_conv]);
  for (std::size_t i = 0; i < sum.size(); ++i)
    REQUIRE(std::abs(double{all[of_conv][static_cast<std::int64_t>(i)]} - sum[i]) <= bound);
}

TEST_CASE("running ranges of the heads move once a step, or once for each level") {
  const auto state_after = [](bool by_level) {
    Bench bench;
    RetinaNetConfig config = small_config();
    config.ranges_by_level = by_level;
    const auto network = make_retinanet(config, 2, bench.params, Key(1));
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
    network.forward(pass, pass.tape.constant(random_tensor({1, 64, 64, 3}, Key(2))));
    std::vector<Range> seen;
    for (const Effects::InputRange& range : pass.effects.ranges) {
      if (bench.params.entry(range.state).name.starts_with("head.box.conv1"))
        seen.push_back(range.range);
    }
    pass.effects.apply_to(bench.params);
    for (const ParamStore::Entry& entry : bench.params.entries()) {
      if (entry.name.starts_with("head.box.conv1") && entry.kind == ParamStore::Kind::state)
        return std::pair(entry.value, seen);
    }
    return std::pair(Tensor(), seen);
  };
  const auto [once, all] = state_after(false);
  const auto [often, levels] = state_after(true);
  REQUIRE(all.size() == 1);
  REQUIRE(levels.size() == 3);
  CHECK(once[2] == 1.0f);
  CHECK(often[2] == 3.0f);
  CHECK(all[0].min == std::min({levels[0].min, levels[1].min, levels[2].min}));
  CHECK(all[0].max == std::max({levels[0].max, levels[1].max, levels[2].max}));
  double minimum = levels[0].min;
  for (const std::size_t i : {1u, 2u}) minimum = 0.9 * minimum + 0.1 * double{levels[i].min};
  CHECK(std::abs(double{often[0]} - minimum) <= 8 * kUnit * std::abs(minimum));
}

TEST_CASE("targets are rows by picture and anchor, and the loss is that of the definition") {
  const Anchors anchors{.boxes = {{0, 0, 10, 10}, {20, 0, 30, 10}, {0, 0, 10, 22}}, .ends = {3}};
  const std::vector<std::vector<BoxLabel>> boxes{{{.box = {1, 0, 11, 10}, .label = 1}}, {}};
  const train::DetectionTargets targets = train::detection_targets(anchors, boxes);
  // The third overlaps the box by 90 / 230, less than 0.4.
  CHECK(targets.labels ==
        std::vector<std::int32_t>{1, kNoClass, kNoClass, kNoClass, kNoClass, kNoClass});
  CHECK(targets.matched == std::vector<std::int64_t>{0});
  REQUIRE(targets.codes.size() == 4);
  CHECK(targets.codes[0] == 1.0f);  // shifted by a tenth of the width

  Bench bench;
  const Tensor logits = random_tensor({2, 3, 2}, Key(1)), codes = random_tensor({2, 3, 4}, Key(2));
  const Op loss = [&](Pass& pass, const std::vector<Var>& inputs) {
    return train::detection_loss(pass, {inputs[0], inputs[1]}, targets, 2.0);
  };
  double expected = 0;
  for (std::int64_t i = 0; i < 12; ++i) {
    const bool yes = i == 1;  // the first anchor's class 1
    const double p = 1 / (1 + std::exp(-double{logits[i]})), right = yes ? p : 1 - p;
    expected -= (yes ? 0.25 : 0.75) * std::pow(1 - right, 2) * std::log(right);
  }
  for (std::int64_t i = 0; i < 4; ++i) {
    const double d =
        std::abs(double{codes[i]} - double{targets.codes[static_cast<std::size_t>(i)]});
    expected += d < 1.0 / 9 ? 4.5 * d * d : d - 0.5 / 9;
  }
  Pass pass = bench.pass();
  const Var got = loss(pass, {pass.tape.constant(logits), pass.tape.constant(codes)});
  CHECK(std::abs(double{pass.tape[got].item()} - expected / 2) <= 8 * kUnit * expected);
  check_gradients(bench, {logits, codes}, 8, loss);
}
