#include <doctest/doctest.h>
#include <omp.h>

#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/elementwise.h"
#include "layers/linear.h"
#include "layers/loss.h"
#include "layers/pool.h"
#include "layers/probe.h"
#include "layers/shape_ops.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

std::vector<double> values_of(const Operand& operand) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < operand.rows(); ++i) {
    for (std::int64_t j = 0; j < operand.cols(); ++j) values.push_back(operand.value(i, j));
  }
  return values;
}

}  // namespace

TEST_CASE(
    "a name in a plan that means no site is refused when the backward sweep begins, before "
    "anything is done") {
  Bench bench;
  const Linear hidden = Linear::create(bench.params, {"hidden", {"first"}},
                                       random_tensor({3, 4}, Key(1)), Tensor::zeros({3}));
  const Linear output = Linear::create(bench.params, "block.output", random_tensor({2, 3}, Key(2)),
                                       Tensor::zeros({2}));
  const std::vector<std::int32_t> labels{0, 1, 1};
  const Format k8 = Format::integer(8);
  const auto step = [&](const PrecisionPlan& plan, bool both = true) {
    Pass pass = bench.pass(plan);
    const Var h = hidden(pass, pass.tape.constant(random_tensor({3, 4}, Key(3))));
    return pass.tape.backward(softmax_cross_entropy(pass, both ? output(pass, h) : h, labels));
  };
  const auto keeping = [&](const char* name) {
    return PrecisionPlan::uniform(k8, k8).keep_fp32({name});
  };
  for (const char* known : {"hidden", "first", "block", "block.output"}) {
    CAPTURE(known);
    CHECK_NOTHROW(step(keeping(known)));
  }
  CHECK_THROWS_WITH_AS(
      step(keeping("hiden")),
      "[plan] unknown site 'hiden'; did you mean 'hidden'? Known: hidden, block.output, first",
      ConfigError);
  PrecisionPlan own = PrecisionPlan::uniform(k8, k8);
  own.rules.push_back({.pattern = "block.ouput", .numerics = {}, .exact = true});
  CHECK_THROWS_WITH_AS(step(own),
                       "[plan] unknown site 'block.ouput'; did you mean 'block.output'? Known: "
                       "hidden, block.output, first",
                       ConfigError);

  // A plan of several networks, or of one of which a pass uses a part.
  bench.ledger = {};
  CHECK_THROWS_AS(step(keeping("block"), false), ConfigError);
  PrecisionPlan shared = keeping("block");
  shared.shared = true;
  CHECK_NOTHROW(step(shared, false));
  CHECK_NOTHROW(step(keeping("block")));
  CHECK_NOTHROW(step(keeping("block"), false));  // the ledger has seen it
}

TEST_CASE("every op gives the same bits for any number of threads, forward and backward") {
  struct Case {
    const char* why;
    Op op;
  };
  Bench bench;
  const Linear fc =
      Linear::create(bench.params, "fc", random_tensor({9, 6}, Key(1)), random_tensor({9}, Key(2)));
  const Conv2d conv = Conv2d::create(bench.params, "conv", random_tensor({5, 3, 3, 6}, Key(3)),
                                     {.pad = 1}, random_tensor({5}, Key(4)));
  const Conv2d depthwise = Conv2d::create(
      bench.params, "depthwise", random_tensor({6, 3, 3, 1}, Key(5)), {.stride = 2, .groups = 6});
  const BatchNorm norm = BatchNorm::create(bench.params, "bn", 6);
  std::vector<std::int32_t> labels(9 * 24 * 25);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 6);
  const Case cases[] = {
      {"linear", [&](Pass& p, const std::vector<Var>& x) { return fc(p, x[0]); }},
      {"conv2d", [&](Pass& p, const std::vector<Var>& x) { return conv(p, x[0]); }},
      {"depthwise", [&](Pass& p, const std::vector<Var>& x) { return depthwise(p, x[0]); }},
      {"batch_norm", [&](Pass& p, const std::vector<Var>& x) { return norm(p, x[0]); }},
      {"relu", [](Pass& p, const std::vector<Var>& x) { return relu(p, x[0]); }},
      {"add", [](Pass& p, const std::vector<Var>& x) { return add(p, x[0], x[0]); }},
      {"dropout", [](Pass& p, const std::vector<Var>& x) { return dropout(p, x[0], 0.3, "d"); }},
      {"max_pool",
       [](Pass& p, const std::vector<Var>&
                       x) { return max_pool(p, x[0], {.window = 3, .stride = 2, .pad = 1}); }},
      {"avg_pool",
       [](Pass& p, const std::vector<Var>&
                       x) { return avg_pool(p, x[0], {.window = 3, .stride = 2, .pad = 1}); }},
      {"global_avg_pool",
       [](Pass& p, const std::vector<Var>& x) { return global_avg_pool(p, x[0]); }},
      {"softmax_cross_entropy", [&](Pass& p, const std::vector<Var>& x) {
         return softmax_cross_entropy(p, flatten(p, global_avg_pool(p, x[0])),
                                      std::span(labels).first(9));
       }}};
  const Tensor input = random_tensor({9, 24, 25, 6}, Key(6));
  const int threads = omp_get_max_threads();
  for (const PrecisionPlan& plan :
       {PrecisionPlan::fp32(), PrecisionPlan::uniform(Format::integer(4), Format::integer(8))}) {
    for (const Case& c : cases) {
      CAPTURE(c.why);
      std::vector<Tensor> outputs, input_gradients;
      std::vector<Gradients> gradients;
      for (const int count : {1, 2, 3}) {
        omp_set_num_threads(count);
        Pass pass = bench.pass(plan);
        const Var x = pass.tape.variable(input);
        const Var y = c.op(pass, {x});
        outputs.push_back(pass.tape[y]);
        gradients.push_back(
            pass.tape.backward(dot(pass, y, random_tensor(outputs[0].shape(), Key(7)))));
        input_gradients.push_back(pass.tape.gradient_of(x));
      }
      for (const std::size_t i : {1u, 2u}) {
        CHECK(outputs[i] == outputs[0]);
        CHECK(input_gradients[i] == input_gradients[0]);
        CHECK(gradients[i] == gradients[0]);
      }
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE("stochastic codes depend on key, site and role, not on the order of calls") {
  Bench bench;
  const Tensor g = random_tensor({20, 10}, Key(1));
  const Site a{"a"}, b{"b"};
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(2), Format::integer(2));
  plan.base.activation.rounding = Rounding::stochastic;
  Pass pass = bench.pass(plan, 1), again = bench.pass(plan, 1), later = bench.pass(plan, 2);
  const std::vector<double> first =
      values_of(pass.quantize(g, a, Role::gradient).along(0, Product::grad_right));
  const std::vector<double> other_site =
      values_of(again.quantize(g, b, Role::gradient).along(0, Product::grad_right));
  CHECK(values_of(again.quantize(g, a, Role::gradient).along(0, Product::grad_right)) == first);
  CHECK(other_site != first);
  CHECK(values_of(pass.quantize(g, a, Role::activation).along(0, Product::grad_right)) != first);
  CHECK(values_of(later.quantize(g, a, Role::gradient).along(0, Product::grad_right)) != first);
}

static_assert(!std::is_copy_constructible_v<Pass> && !std::is_move_constructible_v<Pass>,
              "backward functions refer to their pass");

TEST_CASE(
    "a layer or a dropout that is used again in a pass draws other random bits, in both sweeps") {
  Bench bench;
  const Linear fc = Linear::create(bench.params, "fc", random_tensor({9, 6}, Key(1)), std::nullopt);
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(2), Format::integer(2));
  plan.base.activation.rounding = Rounding::stochastic;
  const Tensor rows = random_tensor({20, 6}, Key(2)), r = random_tensor({20, 9}, Key(3));
  struct Sweep {
    Tensor y, gx;
  };
  const auto sweep = [&](int uses) {  // what the last of them gives
    Pass pass = bench.pass(plan, 1);
    for (int use = 1; use < uses; ++use) fc(pass, pass.tape.constant(rows));
    const Var x = pass.tape.variable(rows), y = fc(pass, x);
    const Tensor out = pass.tape[y];
    pass.tape.backward(dot(pass, y, r));
    return Sweep{out, pass.tape.gradient_of(x)};
  };
  const Sweep first = sweep(1), second = sweep(2);
  CHECK(second.y != first.y);
  CHECK(second.gx != first.gx);
  CHECK(sweep(2).y == second.y);
  CHECK(sweep(2).gx == second.gx);

  // Use 0 folds nothing; what a dropout and a site of one name draw is counted apart.
  Pass pass = bench.pass(plan, 1);
  const Key own = pass.key.fold("fc");
  CHECK(pass.key_of("fc", 0) == own);
  CHECK(pass.key_of("fc", 2) == own.fold("use").fold(2));
  const Var ones = pass.tape.constant(Tensor::filled({100}, 1.0f));
  const Tensor mask = pass.tape[dropout(pass, ones, 0.5, "fc")];
  CHECK(pass.tape[dropout(pass, ones, 0.5, "fc")] != mask);
  CHECK(pass.tape[fc(pass, pass.tape.constant(rows))] == first.y);
}

TEST_CASE(
    "a layer that is used several times in a pass moves its running range once, by the union of "
    "its inputs") {
  Bench bench;
  const Linear fc = Linear::create(bench.params, "fc", random_tensor({2, 2}, Key(1)), std::nullopt);
  const auto used_on = [&](const std::vector<std::array<float, 2>>& inputs) {
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
    for (const std::array<float, 2>& x : inputs)
      fc(pass, pass.tape.constant(Tensor::from({1, 2}, x)));
    pass.effects.apply_to(bench.params);
    const Tensor& range = bench.params[fc.input_range];
    return std::vector<float>(range.values().begin(),
                              range.values().end());  // minimum, width, updates
  };
  CHECK(used_on({{-1, 2}, {0, 5}, {-3, 0}}) == std::vector<float>{-3, 8, 1});
  const float old_share = 0.9f, new_share = 1.0f - old_share;
  CHECK(used_on({{0, 1}, {-2, 0}}) ==
        std::vector<float>{old_share * -3 + new_share * -2, old_share * 8 + new_share * 3, 2});
}

TEST_CASE(
    "a matrix is quantized for the axis that a product contracts: once where one scale serves both "
    "axes, else over the lines of the other axis") {
  Bench bench;
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(2), Format::integer(2)));
  // Two bits: 4 codes over the range of all elements, of each row, or of each column.
  const Tensor x = Tensor::from({2, 2}, std::array{0.0f, 3.0f, 3.0f, 30.0f});
  struct Case {
    const char* why;
    Role role;
    Scales scales;
    int contracted;
    std::vector<double> values;
  };
  const std::vector<double> whole{0, 0, 0, 30}, exact{0, 3, 3, 30};
  const Case cases[] = {
      {"an activation, along its rows", Role::activation, Scales::by_role, 1, whole},
      {"an activation, down its columns", Role::activation, Scales::by_role, 0, whole},
      {"a weight, along its rows", Role::weight, Scales::by_role, 1, exact},
      {"a weight, down its columns", Role::weight, Scales::by_role, 0, exact},
      {"a weight with one scale", Role::weight, Scales::per_tensor, 1, whole},
      {"an activation with a scale a row", Role::activation, Scales::per_channel, 1, exact}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    const Operand codes =
        pass.quantize(x, "fc", c.role, {.scales = c.scales}).along(c.contracted, Product::forward);
    CHECK(values_of(codes) == c.values);
    CHECK(codes.granularity() == (c.values == whole   ? Granularity::per_tensor
                                  : c.contracted == 1 ? Granularity::per_row
                                                      : Granularity::per_column));
  }
}

TEST_CASE("a pass leaves the parameters alone; its effects, applied in order, move layer state") {
  Bench bench;
  const ParamId average = bench.params.add("average", Tensor::filled({1}, 8.0f)),
                range = bench.params.add("range", Tensor::zeros({3})),
                carried = bench.params.add("carried", Tensor::zeros({2}));
  const auto values = [&](ParamId id) {
    const auto all = std::as_const(bench.params)[id].values();
    return std::vector<float>(all.begin(), all.end());
  };
  Effects first, second;
  first.averages = {{average, 0.5, {4.0}}, {average, 0.5, {0.0}}};  // 8, 6, 3
  first.add_range(range, {-1.0f, 1.0f});
  first.add_range(range, {0.0f, 3.0f});
  second.values = {{carried, Tensor::filled({2}, 5.0f)}};
  second.averages = {{average, 0.25, {7.0}}};  // 3, 4
  CHECK(values(average) == std::vector<float>{8});
  for (const Effects* effects : {&first, &second}) effects->apply_to(bench.params);
  CHECK(values(average) == std::vector<float>{4});
  CHECK(values(range) == std::vector<float>{-1, 4, 1});
  CHECK(values(carried) == std::vector<float>{5, 5});
}

TEST_CASE(
    "the quality of an encoding is measured on request: ends, zeros and signal-to-noise ratio") {
  // Two bits over -1 .. 2 have the grid -1, 0, 1, 2: codes of the seven values are -1 -1 0 0 1 2 2.
  const Tensor x =
      Tensor::from({1, 7}, std::array{-1.0f, -0.75f, -0.25f, 0.25f, 1.25f, 2.0f, 1.75f});
  const double signal = 1 + 0.5625 + 0.0625 + 0.0625 + 1.5625 + 4 + 3.0625, noise = 5 * 0.0625;
  Bench bench;
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(2), Format::fp32()));
  Measurements measured;
  const Observer observer = measuring(measured, true, {});
  pass.observer = &observer;
  const Site site{"fc"};
  static_cast<void>(pass.quantize(x, site, Role::activation));
  static_cast<void>(pass.quantize(x, site, Role::gradient));  // float32: nothing to measure
  const std::vector<OperandQuality>& quality = measured.operands;
  REQUIRE(quality.size() == 1);
  CHECK(quality[0].site == "fc");
  CHECK(quality[0].role == Role::activation);
  CHECK(quality[0].elements == 7);
  CHECK(quality[0].at_ends == 4.0 / 7);
  CHECK(quality[0].zeros == 2.0 / 7);
  CHECK(quality[0].underflow == 2.0 / 7);  // neither of them was zero
  CHECK(std::abs(quality[0].sqnr_db - 10 * std::log10(signal / noise)) < 1e-12);
}

TEST_CASE("overflows of a narrow accumulator are counted in the ledger") {
  Bench bench;
  const Linear fc =
      Linear::create(bench.params, "fc", random_tensor({4, 64}, Key(1)), std::nullopt);
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
  const Tensor input = random_tensor({8, 64}, Key(2));
  const auto run = [&] {
    Pass pass = bench.pass(plan);
    return Tensor(pass.tape[fc(pass, pass.tape.constant(input))]);
  };
  const Tensor exact = run();
  CHECK(bench.ledger.overflow_events() == 0);
  plan.base.set_accumulator(Accumulator::wrap(24));  // 64 products of at most 2^14 fit
  CHECK(run() == exact);
  CHECK(bench.ledger.overflow_events() == 0);
  plan.base.set_accumulator(Accumulator::saturate(12));
  CHECK(run() != exact);
  CHECK(bench.ledger.overflow_events() > 0);
}

TEST_CASE("a non-finite value that reaches an encode is reported with its site and role") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    Bench bench;
    const Conv2d conv =
        Conv2d::create(bench.params, "stage1.conv", random_tensor({2, 1, 1, 2}, Key(1)), {});
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
    const Var y = conv(pass, pass.tape.constant(random_tensor({1, 2, 2, 2}, Key(2))));
    Tensor g = Tensor::zeros({1, 2, 2, 2});
    g[3] = bad;
    const Var loss = dot(pass, y, g);
    std::string message;
    try {
      pass.tape.backward(loss);
    } catch (const NonFiniteError& error) {
      message = error.what();
    }
    CHECK(message.starts_with("[stage1.conv] gradient: "));
  }
}
