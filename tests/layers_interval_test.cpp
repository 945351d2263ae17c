#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "layers/init.h"
#include "layers/interval.h"
#include "layers/interval_losses.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// Lower and upper ends of the box around x.
Tensor box_around(const Tensor& x, float radius) {
  std::vector<std::int64_t> extents(x.shape().extents().begin(), x.shape().extents().end());
  extents[0] *= 2;
  Tensor ends = Tensor::uninitialized(Shape(extents));
  for (std::int64_t k = 0; k < x.size(); ++k) {
    ends[k] = x[k] - radius;
    ends[x.size() + k] = x[k] + radius;
  }
  return ends;
}

/// Every kind of layer: images [3, 3, 1] to 3 logits, with statistics and scales that are no
/// defaults, negative ones among them.
std::vector<Layer> every_layer(Bench& bench) {
  ParamStore& params = bench.params;
  const auto weight = [](const Shape& shape, std::uint64_t i) {
    return random_tensor(shape, Key(40).fold(i), 0.5);
  };
  std::vector<Layer> layers{
      Conv2d::create(params, {"conv"}, weight({4, 2, 2, 1}, 1), {.pad = 1},
                     random_tensor({4}, Key(41))),
      BatchNorm::create(params, "norm", 4),
      Relu{},
      MaxPool{{.window = 2, .stride = 2}},
      Flatten{},
      Linear::create(params, {"fc1"}, weight({5, 16}, 2), random_tensor({5}, Key(42))),
      Relu{},
      Linear::create(params, {"fc2"}, weight({3, 5}, 3), random_tensor({3}, Key(43)))};
  const BatchNorm& norm = std::get<BatchNorm>(layers[1]);
  params[norm.weight] = random_tensor({4}, Key(44));
  params[norm.bias] = random_tensor({4}, Key(45));
  params[norm.running_mean] = random_tensor({4}, Key(46));
  params[norm.running_var] = Tensor::from({4}, std::vector<float>{0.5f, 2, 1, 3});
  return layers;
}

/// A pass of training, so that the grids of activations are fixed.
void fix_ranges(Bench& bench, const std::vector<Layer>& layers, const Tensor& x) {
  Pass pass = bench.pass();
  forward(pass, layers, pass.tape.constant(x));
  Effects ranges = pass.effects;
  ranges.averages.clear();
  ranges.apply_to(bench.params);
}

PrecisionPlan integers(int bits, GridStyle style = GridStyle::affine) {
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(bits), Format::integer(8));
  plan.base.set_grid(style);
  return plan;
}

struct NamedPlan {
  std::string name;
  PrecisionPlan plan;
};
std::vector<NamedPlan> sound_plans() {
  PrecisionPlan mixed = integers(8), simulated = integers(6), last = integers(4);
  mixed.base.weight.format = Format::fp32();
  simulated.simulate = true;
  last.keep_fp32({"fc2"});
  return {{"fp32", PrecisionPlan::fp32()}, {"int8", integers(8)},
          {"int4", integers(4)},           {"int8 symmetric", integers(8, GridStyle::symmetric)},
          {"fp32 weights", mixed},         {"simulated int6", simulated},
          {"int4, last in fp32", last}};
}

/// Largest excess of other logits over the label's, of one example with the given logits.
bool exceeds(const Tensor& logits, std::int64_t i, std::int32_t label, const Tensor& worst,
             std::int64_t of) {
  const std::int64_t classes = logits.shape()[1];
  for (std::int64_t j = 0; j < classes; ++j) {
    const double excess = double{logits[i * classes + j]} - double{logits[i * classes + label]};
    if (excess > double{worst[of * classes + j]}) return true;
  }
  return false;
}

/// Points of boxes, drawn or at corners, whose logits break a bound: none, if bounds are sound.
std::int64_t broken(const PrecisionPlan& plan, float radius, std::int64_t points) {
  Bench bench;
  const std::vector<Layer> layers = every_layer(bench);
  const std::int64_t n = 6, pixels = 9;
  const Tensor x = random_tensor({n, 3, 3, 1}, Key(50));
  fix_ranges(bench, layers, x);
  const std::vector<std::int32_t> labels{0, 0, 1, 1, 2, 2};
  const std::span<const Layer> body(layers.data(), layers.size() - 1);

  Pass pass = bench.pass(plan, 0, Pass::Mode::evaluate);
  const Tensor ends = box_around(x, radius);
  const Propagated at = propagate(pass, body, pass.tape.constant(x), pass.tape.constant(ends));
  const Var worst = worst_logits(pass, std::get<Linear>(layers.back()), at.bounds, labels);
  const Tensor hidden = pass.tape[at.bounds];

  const std::int64_t each = points / n;
  std::int64_t result = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    Tensor inside = Tensor::uninitialized({each, 3, 3, 1});
    for (std::int64_t k = 0; k < inside.size(); ++k) {
      const double low = ends[i * pixels + k % pixels], high = ends[(n + i) * pixels + k % pixels];
      const double draw =
          Key(60).fold(static_cast<std::uint64_t>(i)).uniform(static_cast<std::uint64_t>(k));
      const bool corner = k / pixels % 2 == 0;
      const auto at_draw = static_cast<float>(low + (high - low) * draw);
      inside[k] = corner ? static_cast<float>(draw < 0.5 ? low : high)
                         : std::clamp(at_draw, static_cast<float>(low), static_cast<float>(high));
    }
    Pass seen = bench.pass(plan, 0, Pass::Mode::evaluate);
    const Var features = forward(seen, body, seen.tape.constant(std::move(inside)));
    const Var logits = forward(seen, layers.back(), features);
    for (std::int64_t p = 0; p < each; ++p) {
      bool bad =
          exceeds(seen.tape[logits], p, labels[static_cast<std::size_t>(i)], pass.tape[worst], i);
      for (std::int64_t f = 0; f < 5; ++f) {
        const float value = seen.tape[features][p * 5 + f];
        bad = bad || value < hidden[i * 5 + f] || value > hidden[(n + i) * 5 + f];
      }
      result += bad ? 1 : 0;
    }
  }
  return result;
}

/// All corners of a box of m elements, [2^m, ...shape].
Tensor corners_of(const Tensor& ends, const Shape& example) {
  const std::int64_t m = example.size(), count = std::int64_t{1} << m;
  std::vector<std::int64_t> extents{count};
  extents.insert(extents.end(), example.extents().begin(), example.extents().end());
  Tensor corners = Tensor::uninitialized(Shape(extents));
  for (std::int64_t corner = 0; corner < count; ++corner) {
    for (std::int64_t k = 0; k < m; ++k) corners[corner * m + k] = ends[(corner >> k & 1) * m + k];
  }
  return corners;
}

double mean_width(const Tensor& ends) {
  double sum = 0;
  for (std::int64_t k = 0; k < ends.size() / 2; ++k)
    sum += double{ends[ends.size() / 2 + k]} - double{ends[k]};
  return sum / (0.5 * static_cast<double>(ends.size()));
}

}  // namespace

TEST_CASE("the width of bounds grows by sqrt(n)/4 a layer by default and by nothing with IBP's") {
  for (const std::int64_t n : {256, 1024}) {
    for (const bool ibp : {false, true}) {
      CAPTURE(n);
      CAPTURE(ibp);
      Bench bench;
      std::vector<Layer> layers;
      for (int i = 1; i <= 6; ++i) {
        const std::string name = concat("fc", i);
        layers.emplace_back(Linear::create(bench.params, {name},
                                           lecun_uniform_init({n, n}, Key(3).fold(name)), {}));
        layers.emplace_back(Relu{});
      }
      layers.emplace_back(
          Linear::create(bench.params, {"last"}, lecun_uniform_init({2, n}, Key(4)), {}));
      if (ibp) init_for_bounds(bench.params, layers, Key(5));
      const Tensor x = random_tensor({2, n}, Key(6));
      Pass pass = bench.pass();
      const Propagated at =
          propagate(pass, {layers.data(), layers.size() - 1}, pass.tape.constant(x),
                    pass.tape.constant(box_around(x, 0.1f)));
      REQUIRE(at.before_relu.size() == 6);
      const double gain = ibp ? 1.0 : std::sqrt(static_cast<double>(n)) / 4;
      for (std::size_t i = 1; i < 6; ++i) {
        const double grown =
            mean_width(pass.tape[at.before_relu[i]]) / mean_width(pass.tape[at.before_relu[i - 1]]);
        CHECK(std::abs(grown / gain - 1) < 0.1);
      }
    }
  }
}

TEST_CASE("the bounds of each layer are the extremes of its values at the corners of the box") {
  // Products are extreme at corners; how far bounds may be beyond them: codes of the centre are
  // half a step of the grid away, fp32 only rounds.
  struct Case {
    const char* why;
    PrecisionPlan plan;
    double slack;
  };
  const Case cases[] = {{"fp32", PrecisionPlan::fp32(), 1e-4}, {"int8", integers(8), 0.25}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    Bench bench;
    const std::vector<Layer> layers = every_layer(bench);
    const Tensor x = random_tensor({1, 3, 3, 1}, Key(51));
    fix_ranges(bench, layers, random_tensor({8, 3, 3, 1}, Key(52)));
    Pass pass = bench.pass(c.plan, 0, Pass::Mode::evaluate);
    Var at = pass.tape.constant(x), bounds = pass.tape.constant(box_around(x, 0.2f));
    for (const Layer& layer : layers) {
      CAPTURE(layer.index());
      const Tensor ends = pass.tape[bounds];
      std::vector<std::int64_t> example(ends.shape().extents().begin() + 1,
                                        ends.shape().extents().end());
      if (Shape(example).size() <= 10) {
        const Var all = forward(pass, layer, pass.tape.constant(corners_of(ends, Shape(example))));
        const Propagated next = propagate(pass, {&layer, 1}, at, bounds);
        const Tensor &values = pass.tape[all], &got = pass.tape[next.bounds];
        const std::int64_t size = got.size() / 2;
        for (std::int64_t k = 0; k < size; ++k) {
          float low = values[k], high = values[k];
          for (std::int64_t row = k; row < values.size(); row += size) {
            low = std::min(low, values[row]);
            high = std::max(high, values[row]);
          }
          CHECK(got[k] <= low);
          CHECK(got[size + k] >= high);
          CHECK(double{low} - double{got[k]} <= c.slack);
          CHECK(double{got[size + k]} - double{high} <= c.slack);
        }
      }
      const Propagated next = propagate(pass, {&layer, 1}, at, bounds);
      at = next.x;
      bounds = next.bounds;
    }
  }
}

TEST_CASE("the worst logits of one layer are those at the worst corner") {
  Bench bench;
  const Linear last = Linear::create(bench.params, {"fc"}, random_tensor({4, 6}, Key(1)),
                                     random_tensor({4}, Key(2)));
  const Tensor ends = box_around(random_tensor({3, 6}, Key(3)), 0.3f);
  const std::vector<std::int32_t> labels{0, 2, 2};
  for (const Pass::Mode mode : {Pass::Mode::train, Pass::Mode::evaluate}) {
    Pass pass = bench.pass({}, 0, mode);
    const Var worst = worst_logits(pass, last, pass.tape.constant(ends), labels);
    for (std::int64_t i = 0; i < 3; ++i) {
      Tensor own = Tensor::uninitialized({2, 6});
      for (std::int64_t k = 0; k < 12; ++k) own[k] = ends[(k / 6 * 3 + i) * 6 + k % 6];
      const Var z = last(pass, pass.tape.constant(corners_of(own, {6})));
      const Tensor& logits = pass.tape[z];
      for (std::int64_t j = 0; j < 4; ++j) {
        float most = -1e30f;
        for (std::int64_t corner = 0; corner < 64; ++corner)
          most = std::max(most, logits[corner * 4 + j] -
                                    logits[corner * 4 + labels[static_cast<std::size_t>(i)]]);
        CAPTURE(i);
        CAPTURE(j);
        CHECK(std::abs(double{pass.tape[worst][i * 4 + j]} - double{most}) < 5e-4);
      }
    }
  }
  Pass pass = bench.pass();
  CHECK_THROWS_WITH_AS(worst_logits(pass, last, pass.tape.constant(ends), std::vector{1, 0, 2}),
                       "[interval] expected examples in the order of their labels", ConfigError);
}

TEST_CASE("no point of a box breaks its bounds, in fp32 and in integers") {
  for (const NamedPlan& each : sound_plans()) {
    CAPTURE(each.name);
    // The smallest box is a few roundings wide: there bounds stand on their rounding alone.
    for (const float radius : {0.3f, 0.02f, 1e-6f}) {
      CAPTURE(radius);
      CHECK(broken(each.plan, radius, 600) == 0);
    }
  }
}

TEST_CASE("no point of 10^5 breaks bounds" * doctest::test_suite("large")) {
  for (const NamedPlan& each : sound_plans()) {
    CAPTURE(each.name);
    CHECK(broken(each.plan, 0.1f, 100000) == 0);
  }
}

TEST_CASE("bounds that would not hold are refused in evaluations") {
  struct Case {
    const char* says;
    PrecisionPlan plan;
    bool trained = true;
  };
  PrecisionPlan stochastic = integers(8), narrow = integers(8);
  stochastic.base.activation.rounding = Rounding::stochastic;
  narrow.base.set_accumulator(Accumulator::wrap(16));
  const Case cases[] = {
      {"got bf16", PrecisionPlan::uniform(Format::parse("bf16"), Format::parse("bf16"))},
      {"got int8, stochastic", stochastic},
      {"got the accumulator wrap16", narrow},
      {"there was none yet", integers(8), false}};
  for (const Case& c : cases) {
    CAPTURE(c.says);
    Bench bench;
    const std::vector<Layer> layers = every_layer(bench);
    const Tensor x = random_tensor({2, 3, 3, 1}, Key(9));
    if (c.trained) fix_ranges(bench, layers, x);
    Pass pass = bench.pass(c.plan, 0, Pass::Mode::evaluate);
    std::string said;
    try {
      propagate(pass, layers, pass.tape.constant(x), pass.tape.constant(box_around(x, 0.1f)));
    } catch (const ConfigError& error) {
      said = error.what();
    }
    CHECK(said.starts_with("[conv] bounds "));
    CHECK(said.find(c.says) != std::string::npos);
  }
}

TEST_CASE("gradients of worst logits, through bounds, are difference quotients") {
  // Away from kinks: no weight and no difference of weights is near 0.
  const auto spaced = [](const Shape& shape, float step) {
    Tensor w = Tensor::uninitialized(shape);
    for (std::int64_t i = 0; i < w.size(); ++i) {
      const float size = 0.2f + 0.05f * static_cast<float>(i * 7 % 13);
      w[i] = (i * 5 % 3 == 0 ? -size : size) + step * static_cast<float>(i / shape[1]);
    }
    return w;
  };
  Bench bench;
  const std::vector<Layer> layers{Linear::create(bench.params, {"fc1"}, spaced({5, 6}, 0), {}),
                                  BatchNorm::create(bench.params, "norm", 5)};
  bench.params[std::get<BatchNorm>(layers[1]).weight] =
      Tensor::from({5}, std::vector<float>{0.8f, -0.6f, 1.1f, -0.9f, 0.7f});
  const Linear last = Linear::create(bench.params, {"fc2"}, spaced({3, 5}, 2), {});
  const Tensor x = random_tensor({4, 6}, Key(20));
  const std::vector<std::int32_t> labels{0, 1, 1, 2};
  check_gradients(bench, {box_around(x, 0.3f)}, 60, [&](Pass& pass, const auto& in) {
    const Propagated at = propagate(pass, layers, pass.tape.constant(x), in[0]);
    return worst_logits(pass, last, at.bounds, labels);
  });
}

TEST_CASE("gradients of regularisers are difference quotients") {
  Bench bench;
  // Two examples of three units: active, inactive and open ones, none of whose ends is near 0.
  const Tensor ends = Tensor::from({4, 3}, std::vector<float>{0.5f, -2, -1, 1, -3, 0.25f,  //
                                                              1, -1, 2, 1.75f, -0.5f, 2});
  check_gradients(bench, {ends}, 60, [](Pass& pass, const auto& in) {
    const Var box = pass.tape.constant(Tensor::from({2, 1}, std::vector<float>{0, 0.1f}));
    return tightness_loss(pass, box, in, 0.9);
  });
  check_gradients(bench, {ends}, 60,
                  [](Pass& pass, const auto& in) { return balance_loss(pass, in, 1.0); });
}

TEST_CASE("regularisers are what their definitions say") {
  Bench bench;
  Pass pass = bench.pass();
  // Two layers of one example. Widths of the first: 1 and 3; of the second 8.
  const std::vector<Var> layers{
      pass.tape.constant(Tensor::from({2, 2}, std::vector<float>{1, -4, 2, -1})),
      pass.tape.constant(Tensor::from({2, 1}, std::vector<float>{-4, 4}))};
  const Var box = pass.tape.constant(Tensor::from({2, 1}, std::vector<float>{0, 0.5f}));
  // (max(0, 0.5 - 0.5 / 2) + max(0, 0.5 - 0.5 / 8)) / 2
  CHECK(pass.tape[tightness_loss(pass, box, layers, 0.5)].item() == 0.34375f);
  // Centres 1.5, active, and -2.5, inactive, with mean -0.5: alpha = 0.6, beta = 2^2 / 2^2 = 1. The
  // second layer has neither kind. (max(0, 0.75 - 0.6) + 0) / 2
  CHECK(pass.tape[balance_loss(pass, layers, 0.75)].item() == doctest::Approx(0.075));
  CHECK_THROWS_AS(balance_loss(pass, {}, 0.5), ConfigError);
}
