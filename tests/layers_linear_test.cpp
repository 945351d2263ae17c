#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/linear.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// The largest error of `got` [m, n] against the product of the operands' values in double, in
/// units of what is allowed: one rounding and the scaling's few roundings in double for integer
/// operands (four terms of at most k (3 a)(3 b) each), a chain of k fma for float ones.
double worst_error(const Tensor& got, const Operand& a, const Operand& b, double largest_a,
                   double largest_b) {
  const std::int64_t k = a.cols();
  const double magnitude = static_cast<double>(k) * largest_a * largest_b;
  double worst = 0;
  for (std::int64_t i = 0; i < a.rows(); ++i) {
    for (std::int64_t j = 0; j < b.cols(); ++j) {
      double sum = 0;
      for (std::int64_t t = 0; t < k; ++t) sum += a.value(i, t) * b.value(t, j);
      const bool linear =
          a.arithmetic() == Arithmetic::linear && b.arithmetic() == Arithmetic::linear;
      const double allowed = linear ? kUnit * std::abs(sum) + 0x1p-46 * magnitude
                                    : static_cast<double>(k + 8) * kUnit * magnitude;
      worst = std::max(worst, std::abs(double{got[i * b.cols() + j]} - sum) / allowed);
    }
  }
  return worst;
}

std::vector<PrecisionPlan> plans() {
  std::vector<PrecisionPlan> all{PrecisionPlan::fp32()};
  for (const GridStyle style : {GridStyle::affine, GridStyle::symmetric}) {
    for (const auto& bits : {std::pair{2, 3}, std::pair{3, 8}, std::pair{8, 8}, std::pair{9, 16}}) {
      for (const bool simulate : {false, true}) {
        PrecisionPlan plan =
            PrecisionPlan::uniform(Format::integer(bits.first), Format::integer(bits.second));
        plan.base.set_grid(style);
        plan.simulate = simulate;
        all.push_back(plan);
      }
    }
  }
  PrecisionPlan mixed = PrecisionPlan::uniform(
      Format::integer(4), Format::fp32());  // the gradient's products meet one float operand
  all.push_back(mixed);
  mixed.base.set_formats({Format::integer(5), Format::integer(7),
                          Format::integer(10)});  // which operand has which role
  mixed.base.activation.rounding = Rounding::stochastic;
  all.push_back(mixed);
  for (const PrecisionPlan& plan : half_float_plans()) all.push_back(plan);
  for (const auto& [forward, gradient] :
       {std::pair{"e4m3", "e5m2"}, {"bf16", "bf16"}, {"int8", "e2m1"}, {"e3m0", "tf32"}})
    all.push_back(PrecisionPlan::uniform(Format::parse(forward), Format::parse(gradient)));
  return all;
}

}  // namespace

TEST_CASE("the three products of a linear layer are those of its codes, for every width and grid") {
  constexpr std::int64_t batch = 7, in = 13, out = 5;
  for (const PrecisionPlan& plan : plans()) {
    CAPTURE(to_text(plan.base.weight.format));
    CAPTURE(to_text(plan.base.gradient.format));
    CAPTURE(to_text(plan.base.weight.grid));
    CAPTURE(plan.simulate);
    Bench bench, other;
    const Tensor w = random_tensor({out, in}, Key(1), 0.4, 0.1),
                 bias = random_tensor({out}, Key(2)), g = random_tensor({batch, out}, Key(3));
    const Linear plain = Linear::create(bench.params, "fc", w, std::nullopt);
    const Linear biased = Linear::create(other.params, plain.site, w, bias);  // the same draws
    Pass pass = bench.pass(plan);
    const Tensor input = random_tensor({batch, in}, Key(4), 1.0, 0.5);
    const Var x = pass.tape.variable(input);
    const Var y = plain(pass, x);
    Pass again = other.pass(plan);
    const Tensor product = pass.tape[y],
                 with_bias = again.tape[biased(again, again.tape.constant(input))];
    const Gradients gradients = pass.tape.backward(dot(pass, y, g));

    const Operand qx = operand_of(pass, input.matrix(), plain.site, Role::activation),
                  qg = operand_of(pass, g.matrix(), plain.site, Role::gradient);
    const Operand by_output =
        operand_of(pass, w.matrix(), plain.site, Role::weight, Granularity::per_row);
    const Operand by_input =
        operand_of(pass, w.matrix(), plain.site, Role::weight, Granularity::per_column);
    const double ax = largest_magnitude(input), aw = largest_magnitude(w),
                 ag = largest_magnitude(g);
    CHECK(worst_error(product, qx, by_output.transposed(), ax, aw) <= 1);
    CHECK(worst_error(pass.tape.gradient_of(x), qg, by_input, ag, aw) <= 1);
    CHECK(worst_error(gradients[static_cast<std::size_t>(plain.weight.index)], qg.transposed(), qx,
                      ag, ax) <= 1);
    for (std::int64_t i = 0; i < product.size(); ++i)
      REQUIRE(with_bias[i] == product[i] + bias[i % out]);
  }
}

TEST_CASE("a linear layer's gradients agree with central differences, over any leading axes") {
  Bench bench;
  const Linear fc =
      Linear::create(bench.params, "fc", random_tensor({4, 6}, Key(1)), random_tensor({4}, Key(2)));
  // 6 fma and the bias.
  check_gradients(bench, {random_tensor({2, 3, 6}, Key(3))}, 7,
                  [&](Pass& pass, const std::vector<Var>& x) { return fc(pass, x[0]); });
}

TEST_CASE(
    "the bits of a product do not depend on what is kept in float32 elsewhere, and exempt layers "
    "are charged 32 bits") {
  const Tensor w = random_tensor({3, 8}, Key(1)), input = random_tensor({4, 8}, Key(2));
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(3), Format::integer(8));
  plan.keep_fp32({"last"});
  Bench bench;
  const Linear fc1 = Linear::create(bench.params, {"fc1", {"first"}}, w, std::nullopt);
  const Linear fc2 = Linear::create(bench.params, {"fc2", {"last"}}, w, std::nullopt);
  Pass pass = bench.pass(plan), exact = bench.pass();
  CHECK(pass.tape[fc2(pass, pass.tape.constant(input))] ==
        exact.tape[fc2(exact, exact.tape.constant(input))]);
  bench.ledger = {};
  Pass counted = bench.pass(plan);
  fc1(counted, counted.tape.constant(input));
  fc2(counted, counted.tape.constant(input));
  REQUIRE(bench.ledger.rows().size() == 2);
  CHECK(bench.ledger.rows()[0].cells[0] == CostLedger::Cell{96, 96 * 9});
  CHECK(bench.ledger.rows()[1].cells[0] == CostLedger::Cell{96, 96 * 1024});
}

TEST_CASE(
    "both operands of a product are transformed where the plan says so, and filled-up zeros are "
    "free") {
  constexpr std::int64_t batch = 21, in = 13, out = 5;
  PrecisionPlan plan = PrecisionPlan::uniform(Format::parse("int8"), Format::parse("int8"));
  plan.base.transforms[static_cast<std::size_t>(Product::grad_right)] = Transform::hadamard16;
  Bench bench;
  const Tensor w = random_tensor({out, in}, Key(1)), input = random_tensor({batch, in}, Key(4)),
               g = random_tensor({batch, out}, Key(3));
  const Linear fc = Linear::create(bench.params, "fc", w, std::nullopt);
  Pass pass = bench.pass(plan);
  const Var x = pass.tape.variable(input);
  const Gradients gradients = pass.tape.backward(dot(pass, fc(pass, x), g));

  const Tensor hx = hadamard16(input.matrix(), 0), hg = hadamard16(g.matrix(), 0);
  const Operand qx = operand_of(pass, hx.matrix(), fc.site, Role::activation),
                qg = operand_of(pass, hg.matrix(), fc.site, Role::gradient);
  CHECK(worst_error(gradients[static_cast<std::size_t>(fc.weight.index)], qg.transposed(), qx,
                    largest_magnitude(hg), largest_magnitude(hx)) <= 1);
  const Operand plain = operand_of(pass, g.matrix(), fc.site, Role::gradient),
                by_input =
                    operand_of(pass, w.matrix(), fc.site, Role::weight, Granularity::per_column);
  CHECK(worst_error(pass.tape.gradient_of(x), plain, by_input, largest_magnitude(g),
                    largest_magnitude(w)) <= 1);
  CHECK(bench.ledger.total_macs() == 3 * batch * in * out);

  plan.base.activation.format = Format::fp32();  // then the product is one of float32 numbers
  Pass mixed = bench.pass(plan), without = bench.pass(plan);
  without.plan.base.transforms = {};
  const auto weight_gradient = [&](Pass& p) {
    return Tensor(p.tape.backward(
        dot(p, fc(p, p.tape.constant(input)), g))[static_cast<std::size_t>(fc.weight.index)]);
  };
  CHECK(weight_gradient(mixed) == weight_gradient(without));
}

TEST_CASE("evaluation encodes inputs by the running range, which training keeps up") {
  Bench bench;
  const Linear fc = Linear::create(bench.params, "fc", Tensor::filled({1, 2}, 1.0f), std::nullopt);
  const auto train_on = [&](float low, float high) {
    Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
    fc(pass, pass.tape.constant(Tensor::from({1, 2}, std::array{low, high})));
    pass.effects.apply_to(bench.params);
  };
  train_on(-1.0f, 3.0f);  // the first update copies
  CHECK(bench.params[fc.input_range][0] == -1.0f);
  CHECK(bench.params[fc.input_range][1] == 4.0f);
  train_on(0.0f, 2.0f);
  CHECK(std::abs(bench.params[fc.input_range][0] - -0.9f) < 1e-6f);
  CHECK(std::abs(bench.params[fc.input_range][1] - 3.8f) < 1e-6f);
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)), 0,
                         Pass::Mode::evaluate);
  const Tensor range_before = bench.params[fc.input_range];
  const Tensor y =
      pass.tape[fc(pass, pass.tape.constant(Tensor::from({1, 2}, std::array{100.0f, 100.0f})))];
  CHECK(std::abs(y.item() - 2 * 2.9f) < 1e-5f);  // saturated at the top of -0.9 .. 2.9
  pass.effects.apply_to(bench.params);
  CHECK(bench.params[fc.input_range] == range_before);
}

TEST_CASE("a linear layer refuses what does not fit, and names the site where a NaN arrives") {
  Bench bench;
  const Linear fc = Linear::create(bench.params, "fc1", Tensor::zeros({10, 784}), std::nullopt);
  CHECK_THROWS_AS(Linear::create(bench.params, "bad", Tensor::zeros({10}), std::nullopt),
                  ShapeError);
  CHECK_THROWS_AS(Linear::create(bench.params, "bad", Tensor::zeros({10, 2}), Tensor::zeros({9})),
                  ShapeError);
  CHECK_THROWS_AS(Linear::create(bench.params, "fc1", Tensor::zeros({10, 2}), std::nullopt),
                  ConfigError);
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(8), Format::integer(8)));
  CHECK_THROWS_WITH_AS(fc(pass, pass.tape.constant(Tensor::zeros({32, 1, 28, 28}))),
                       "[fc1] expected input [batch, 784], got [32, 1, 28, 28]", ShapeError);
  Tensor broken = Tensor::zeros({1, 784});
  broken[5] = std::numeric_limits<float>::quiet_NaN();
  std::string message;
  try {
    fc(pass, pass.tape.constant(broken));
  } catch (const NonFiniteError& error) {
    message = error.what();
  }
  CHECK(message.starts_with("[fc1] activation"));
}
