#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "layers/functions.h"
#include "layers/gru.h"
#include "layers/shape_ops.h"
#include "op_checks.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

constexpr std::int64_t kSteps = 4, kStreams = 3, kIn = 5, kUnits = 6, kRows = kSteps * kStreams,
                       kWide = 3 * kUnits;

Tensor random_state() { return random_tensor({kStreams, kUnits}, Key(2).fold("h"), 0.5); }
Tensor random_window() { return random_tensor({kRows, kIn}, Key(3)); }
PrecisionPlan int8() { return PrecisionPlan::uniform(Format::integer(8), Format::integer(8)); }

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }
float float_of(void (*function)(const float*, std::int64_t, float*, Simd), float x) {
  function(&x, 1, &x, Simd::scalar);
  return x;
}

Tensor rows_of(const Tensor& x, std::int64_t first, std::int64_t count) {
  const std::int64_t cols = x.shape()[-1];
  return Tensor::from({count, cols}, x.values().subspan(static_cast<std::size_t>(first * cols),
                                                        static_cast<std::size_t>(count * cols)));
}

/// A window by the definition, all in double; h of every step.
std::vector<double> by_definition(const ParamStore& params, const Gru& gru, const Tensor& x,
                                  const Tensor& state) {
  const auto product = [](const Tensor& w, std::int64_t row, const auto& in, std::int64_t n) {
    double sum = 0;
    for (std::int64_t k = 0; k < n; ++k) sum += double{w[row * n + k]} * double{in(k)};
    return sum;
  };
  std::vector<double> all, h(state.values().begin(), state.values().end());
  for (std::int64_t row = 0; row < kRows; ++row) {
    const std::int64_t s = row % kStreams;
    std::vector<double> next;
    for (std::int64_t j = 0; j < kUnits; ++j) {
      double a[3], c[3];
      for (std::int64_t k = 0; k < 3; ++k) {
        const std::int64_t gate = k * kUnits + j;
        a[k] = product(
                   params[gru.input.weight], gate,
                   [&](std::int64_t i) { return double{x[row * kIn + i]}; }, kIn) +
               double{params[gru.input.bias][gate]};
        c[k] = product(
                   params[gru.weight], gate,
                   [&](std::int64_t i) { return h[static_cast<std::size_t>(s * kUnits + i)]; },
                   kUnits) +
               double{params[gru.bias][gate]};
      }
      const double r = logistic(a[0] + c[0]), z = logistic(a[1] + c[1]),
                   n = std::tanh(a[2] + r * c[2]);
      next.push_back((1 - z) * n + z * h[static_cast<std::size_t>(s * kUnits + j)]);
    }
    std::ranges::copy(next, h.begin() + s * kUnits);
    all.insert(all.end(), next.begin(), next.end());
  }
  return all;
}

/// A window as docs/NUMERICS.md writes it down, in float32.
struct Replay {
  Tensor gates = Tensor::zeros({kRows, kWide});  ///< r, z, n
  Tensor cn = Tensor::zeros({kRows, kUnits}), before = Tensor::zeros({kRows, kUnits}),
         h = Tensor::zeros({kRows, kUnits});
};

Replay replay_forward(const Pass& pass, const Gru& gru, const Tensor& x, const Tensor& state) {
  Replay replay;
  const auto running = [&](ParamId id) {
    return Range{pass.params[id][0], pass.params[id][0] + pass.params[id][1]};
  };
  const Range range_x = running(gru.input.input_range),
              range_h = running(gru.range);  // in evaluation only
  const Tensor a =
      checked_product(operand_of(pass, x.matrix(), gru.input.site, Role::activation,
                                 Granularity::per_tensor, 0, pass.training() ? nullptr : &range_x),
                      operand_of(pass, pass.params[gru.input.weight].matrix(), gru.input.site,
                                 Role::weight, Granularity::per_row)
                          .transposed());
  const Operand qw = operand_of(pass, pass.params[gru.weight].matrix(), gru.hidden, Role::weight,
                                Granularity::per_row);
  const Tensor &bx = pass.params[gru.input.bias], &bh = pass.params[gru.bias];
  for (std::int64_t t = 0; t < kSteps; ++t) {
    const Tensor from = t == 0 ? state : rows_of(replay.h, (t - 1) * kStreams, kStreams);
    std::ranges::copy(from.values(), replay.before.data() + t * kStreams * kUnits);
    const Operand qh =
        operand_of(pass, from.matrix(), gru.hidden, Role::activation, Granularity::per_tensor,
                   static_cast<std::uint64_t>(t) + 1, pass.training() ? nullptr : &range_h);
    const Tensor c = checked_product(qh, qw.transposed());
    for (std::int64_t i = 0; i < kStreams * kUnits; ++i) {
      const std::int64_t s = i / kUnits, j = i % kUnits, row = t * kStreams + s;
      const auto of_x = [&](std::int64_t k) {
        return a[row * kWide + k * kUnits + j] + bx[k * kUnits + j];
      };
      const auto of_h = [&](std::int64_t k) {
        return c[s * kWide + k * kUnits + j] + bh[k * kUnits + j];
      };
      const float r = float_of(sigmoid_rows, of_x(0) + of_h(0)),
                  z = float_of(sigmoid_rows, of_x(1) + of_h(1)),
                  n = float_of(tanh_rows, of_x(2) + r * of_h(2));
      float* const gates = replay.gates.data() + row * kWide + j;
      gates[0] = r, gates[kUnits] = z, gates[2 * kUnits] = n;
      replay.cn[row * kUnits + j] = of_h(2);
      replay.h[row * kUnits + j] = (1.0f - z) * n + z * from[i];
    }
  }
  return replay;
}

/// The gradients of what x and what h gives the gates.
struct GateGradients {
  Tensor a = Tensor::zeros({kRows, kWide}), c = Tensor::zeros({kRows, kWide});
};

GateGradients replay_backward(const Pass& pass, const Gru& gru, const Replay& replay,
                              const Tensor& g) {
  const Operand along = operand_of(pass, pass.params[gru.weight].matrix(), gru.hidden, Role::weight,
                                   Granularity::per_column);
  GateGradients grads;
  Tensor later = Tensor::zeros({kStreams, kUnits});
  for (std::int64_t t = kSteps; t-- > 0;) {
    for (std::int64_t i = 0; i < kStreams * kUnits; ++i) {
      const std::int64_t row = t * kStreams + i / kUnits, j = i % kUnits;
      const float *const gate = replay.gates.data() + row * kWide + j, r = gate[0],
                         z = gate[kUnits], n = gate[2 * kUnits];
      const float gh = g[row * kUnits + j] + later[i], gn = (gh * (1.0f - z)) * (1.0f - n * n);
      const float gr = gn * replay.cn[row * kUnits + j] * (r * (1.0f - r)),
                  gz = gh * (replay.before[row * kUnits + j] - n) * (z * (1.0f - z));
      float *const a = grads.a.data() + row * kWide + j, *const c =
                                                             grads.c.data() + row * kWide + j;
      a[0] = c[0] = gr, a[kUnits] = c[kUnits] = gz, a[2 * kUnits] = gn, c[2 * kUnits] = gn * r;
      later[i] = gh * z;
    }
    const Tensor step = rows_of(grads.c, t * kStreams, kStreams);
    const Operand qc = operand_of(pass, step.matrix(), gru.hidden, Role::gradient,
                                  Granularity::per_tensor, static_cast<std::uint64_t>(t) + 1);
    const Tensor through = checked_product(qc, along);
    for (std::int64_t i = 0; i < later.size(); ++i) later[i] += through[i];
  }
  return grads;
}

}  // namespace

TEST_CASE("a GRU is PyTorch's definition, in double within float32's roundings") {
  Bench bench;
  const Gru gru = Gru::create(bench.params, "gru0", kIn, kUnits, Key(1));
  const std::vector<double> want =
      by_definition(bench.params, gru, random_window(), random_state());
  Pass pass = bench.pass();
  Var state = pass.tape.constant(random_state());
  const Var y = gru(pass, pass.tape.constant(random_window()), state);
  // Weights are below 0.5 and there are 11 terms a gate: some 40 roundings of numbers below 4, four
  // steps long.
  require_elements(
      pass.tape[y], [&](std::int64_t i) { return want[static_cast<std::size_t>(i)]; },
      [](std::int64_t) { return 4 * 160 * kUnit; });
  CHECK(pass.tape[state] == rows_of(pass.tape[y], kRows - kStreams, kStreams));
}

TEST_CASE(
    "a GRU and all its gradients are fake quantization of its codes, stage by stage, for every "
    "mixture of formats") {
  for (const NamedPlan& named : replay_plans("gru0.input")) {
    CAPTURE(named.name);
    Bench bench;
    const Gru gru = Gru::create(bench.params, "gru0", kIn, kUnits, Key(1));
    Pass pass = bench.pass(named.plan, 3);
    Var state = pass.tape.constant(random_state());
    const Tensor x = random_window(), g = random_tensor({kRows, kUnits}, Key(4));
    const Var vx = pass.tape.variable(x);
    const Var vy = gru(pass, vx, state);
    const Tensor h = pass.tape[vy];
    const Gradients gradients = pass.tape.backward(dot(pass, vy, g));

    const Replay replay = replay_forward(pass, gru, x, random_state());
    CHECK(replay.h == h);
    const GateGradients by_gate = replay_backward(pass, gru, replay, g);
    const Operand all_c = operand_of(pass, by_gate.c.matrix(), gru.hidden, Role::gradient),
                  all_h = operand_of(pass, replay.before.matrix(), gru.hidden, Role::activation),
                  all_a = operand_of(pass, by_gate.a.matrix(), gru.input.site, Role::gradient),
                  qx = operand_of(pass, x.matrix(), gru.input.site, Role::activation),
                  along = operand_of(pass, bench.params[gru.input.weight].matrix(), gru.input.site,
                                     Role::weight, Granularity::per_column);
    const auto gradient = [&](ParamId id) { return gradients[static_cast<std::size_t>(id.index)]; };
    CHECK(gradient(gru.weight) == checked_product(all_c.transposed(), all_h));
    CHECK(gradient(gru.input.weight) == checked_product(all_a.transposed(), qx));
    CHECK(pass.tape.gradient_of(vx) == checked_product(all_a, along));
    require_column_sums(gradient(gru.bias), by_gate.c);
    require_column_sums(gradient(gru.input.bias), by_gate.a);
  }
}

TEST_CASE(
    "the gradients of a GRU through time agree with central differences, and its bits do not "
    "depend on instructions or threads") {
  Bench bench;
  const Gru gru = Gru::create(bench.params, "gru0", kIn, kUnits, Key(1));
  for (const ParamId id : {gru.input.weight, gru.weight}) {
    for (float& w : bench.params[id].values()) w *= 2.0f;  // so that time matters
  }
  const Op two_windows = [&](Pass& pass, const std::vector<Var>& x) {
    Var state = x[1];
    const Var first = gru(pass, slice(pass, x[0], 0, 0, kStreams), state),
              second = gru(pass, slice(pass, x[0], 0, kStreams, kRows), state);
    return cat(pass, {first, second, state}, 0);
  };
  check_gradients(bench, {random_window(), random_state()}, 60, two_windows);
  for (const bool quantized : {false, true}) {
    Bench wide;
    const Gru large = Gru::create(wide.params, "gru0", 20, 45, Key(1));
    const Op window = [&](Pass& pass, const std::vector<Var>& x) {
      Var state = pass.tape.constant(random_tensor({40, 45}, Key(4)));
      return large(pass, x[0], state);
    };
    if (quantized) wide.params[large.range] = Tensor::zeros({3});
    check_bits(wide, {random_tensor({120, 20}, Key(5))}, window,
               quantized ? int8() : PrecisionPlan::fp32());
  }
}

TEST_CASE(
    "a GRU in evaluation encodes the hidden state over its running range and leaves that as it "
    "is") {
  Bench bench;
  const Gru gru = Gru::create(bench.params, "gru0", kIn, kUnits, Key(1));
  Pass train = bench.pass(int8());
  Var state = train.tape.constant(random_state());
  gru(train, train.tape.constant(random_window()), state);
  train.effects.apply_to(bench.params);
  CHECK(bench.params[gru.range][2] == 1.0f);
  bench.params[gru.range][1] = 1e-3f;  // so that everything is clamped
  const Tensor kept = bench.params[gru.range];
  Pass evaluation = bench.pass(int8(), 0, Pass::Mode::evaluate);
  state = evaluation.tape.constant(random_state());
  const Var y = gru(evaluation, evaluation.tape.constant(random_window()), state);
  CHECK(evaluation.tape[y] == replay_forward(evaluation, gru, random_window(), random_state()).h);
  evaluation.effects.apply_to(bench.params);
  CHECK(bench.params[gru.range] == kept);
}

TEST_CASE("a GRU charges its products, names its sites and refuses states that do not fit") {
  Bench bench;
  const Gru gru = Gru::create(bench.params, "gru0", kIn, kUnits, Key(1));
  Pass pass = bench.pass(int8());
  Var state = pass.tape.constant(random_state());
  const Var y = gru(pass, pass.tape.variable(random_window()), state);
  static_cast<void>(pass.tape.backward(dot(pass, y, random_tensor({kRows, kUnits}, Key(4)))));
  REQUIRE(bench.ledger.rows().size() == 2);
  CHECK(bench.ledger.rows()[0].site.name == "gru0.input");
  CHECK(bench.ledger.rows()[1].site.name == "gru0.hidden");
  for (std::size_t p = 0; p < 3; ++p)
    CHECK(bench.ledger.rows()[0].cells[p].macs == kRows * kWide * kIn);
  for (std::size_t p = 0; p < 3; ++p)
    CHECK(bench.ledger.rows()[1].cells[p].macs == kRows * kWide * kUnits);
  Pass other = bench.pass(int8());
  state = other.tape.constant(random_state());
  CHECK_THROWS_AS(gru(other, other.tape.constant(Tensor::zeros({kStreams + 1, kIn})), state),
                  ShapeError);
  CHECK_THROWS_AS(gru(other, other.tape.constant(Tensor::zeros({kStreams, kIn + 1})), state),
                  ShapeError);
  for (const Shape& bad : {Shape{kStreams, kUnits + 1}, Shape{kUnits}, Shape{0, kUnits}}) {
    Var wrong = other.tape.constant(Tensor::zeros(bad));
    CHECK_THROWS_AS(gru(other, other.tape.constant(Tensor::zeros({kStreams, kIn})), wrong),
                    ShapeError);
  }
  CHECK_THROWS_AS(Gru::create(bench.params, "gru1", 0, 3, Key(1)), ConfigError);
}
