#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "layers/functions.h"
#include "layers/lstm.h"
#include "layers/shape_ops.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

constexpr std::int64_t kSteps = 4, kStreams = 3, kIn = 5, kUnits = 6, kRows = kSteps * kStreams,
                       kWide = 4 * kUnits;

struct State {
  Tensor hidden, cell;

  [[nodiscard]] LstmState on(Tape& tape) const {
    return {tape.constant(hidden), tape.constant(cell)};
  }
};

State random_state(Key key) {
  return {random_tensor({kStreams, kUnits}, key.fold("h"), 0.5),
          random_tensor({kStreams, kUnits}, key.fold("c"))};
}

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

PrecisionPlan int8() { return PrecisionPlan::uniform(Format::integer(8), Format::integer(8)); }

Tensor rows_of(const Tensor& x, std::int64_t first, std::int64_t count) {
  const std::int64_t cols = x.shape()[-1];
  return Tensor::from({count, cols}, x.values().subspan(static_cast<std::size_t>(first * cols),
                                                        static_cast<std::size_t>(count * cols)));
}

/// A window, by time and stream.
struct Replay {
  Tensor gates = Tensor::zeros({kRows, kWide});             ///< i, f, g, o
  Tensor cell = Tensor::zeros({kRows + kStreams, kUnits});  ///< c_0 to c_T
  Tensor tanh_c = Tensor::zeros({kRows, kUnits});           ///< tanh(c_t)
  Tensor h = Tensor::zeros({kRows, kUnits});

  [[nodiscard]] Tensor h_prev(const State& begin) const {
    Tensor before = Tensor::zeros({kRows, kUnits});
    for (std::int64_t i = 0; i < before.size(); ++i)
      before[i] = i < kStreams * kUnits ? begin.hidden[i] : h[i - kStreams * kUnits];
    return before;
  }
};

float float_of(void (*function)(const float*, std::int64_t, float*, Simd), float x) {
  function(&x, 1, &x, Simd::scalar);
  return x;
}

Replay replay_forward(const Pass& pass, const Lstm& lstm, const Tensor& x, const State& begin) {
  Replay r;
  const Tensor &wx = pass.params[lstm.input.weight], &wh = pass.params[lstm.weight],
               &bias = pass.params[lstm.input.bias];
  const auto running = [&](ParamId id) {
    return Range{pass.params[id][0], pass.params[id][0] + pass.params[id][1]};
  };
  const Range range_x = running(lstm.input.input_range),
              range_h = running(lstm.range);  // in evaluation only
  const Tensor from_input = checked_product(
      operand_of(pass, x.matrix(), lstm.input.site, Role::activation, Granularity::per_tensor, 0,
                 pass.training() ? nullptr : &range_x),
      operand_of(pass, wx.matrix(), lstm.input.site, Role::weight, Granularity::per_row)
          .transposed());
  const Operand qw = operand_of(pass, wh.matrix(), lstm.hidden, Role::weight, Granularity::per_row);
  for (std::int64_t i = 0; i < begin.cell.size(); ++i) r.cell[i] = begin.cell[i];
  for (std::int64_t t = 0; t < kSteps; ++t) {
    const Tensor before = rows_of(r.h_prev(begin), t * kStreams, kStreams);
    const Operand qh =
        operand_of(pass, before.matrix(), lstm.hidden, Role::activation, Granularity::per_tensor,
                   static_cast<std::uint64_t>(t) + 1, pass.training() ? nullptr : &range_h);
    const Tensor from_hidden = checked_product(qh, qw.transposed());
    for (std::int64_t row = t * kStreams; row < (t + 1) * kStreams; ++row) {
      for (std::int64_t j = 0; j < kWide; ++j) {
        const float a = from_input[row * kWide + j], b = bias[j],
                    c = from_hidden[(row - t * kStreams) * kWide + j], z = (a + b) + c;
        require_within(double{z}, double{a} + double{b} + double{c},
                       kUnit * (std::abs(double{a} + double{b}) + std::abs(double{z})));
        const bool candidate = j / kUnits == 2;
        const float gate = r.gates[row * kWide + j] =
            float_of(candidate ? tanh_rows : sigmoid_rows, z);
        const double want = candidate ? std::tanh(double{z}) : logistic(double{z});
        require_within(double{gate}, want, 4 * kUnit * std::abs(want));  // layers/functions.h
      }
      for (std::int64_t j = 0; j < kUnits; ++j) {
        const float *const gate = r.gates.data() + row * kWide + j, i = gate[0], f = gate[kUnits],
                           g = gate[2 * kUnits], o = gate[3 * kUnits],
                           old = r.cell[row * kUnits + j];
        const float c = r.cell[(row + kStreams) * kUnits + j] = f * old + i * g;
        const double kept = double{f} * double{old}, added = double{i} * double{g};  // exact
        require_within(double{c}, kept + added,
                       kUnit * (std::abs(kept) + std::abs(added) + std::abs(kept + added)));
        const float tanh_c = r.tanh_c[row * kUnits + j] = float_of(tanh_rows, c);
        require_within(double{tanh_c}, std::tanh(double{c}),
                       4 * kUnit * std::abs(std::tanh(double{c})));
        r.h[row * kUnits + j] = o * tanh_c;
      }
    }
  }
  return r;
}

/// The gradient of all gate inputs, [kRows, kWide].
Tensor replay_backward(const Pass& pass, const Lstm& lstm, const Replay& r, const Tensor& g) {
  const Tensor& wh = pass.params[lstm.weight];
  const Operand along =
      operand_of(pass, wh.matrix(), lstm.hidden, Role::weight, Granularity::per_column);
  Tensor gz = Tensor::zeros({kRows, kWide}), later = Tensor::zeros({kStreams, kUnits}),
         of_cell = Tensor::zeros({kStreams, kUnits});
  for (std::int64_t t = kSteps; t-- > 0;) {
    for (std::int64_t at = 0; at < kStreams * kUnits; ++at) {
      const std::int64_t row = t * kStreams + at / kUnits, j = at % kUnits;
      const float *const gate = r.gates.data() + row * kWide + j, i = gate[0], f = gate[kUnits],
                         c = gate[2 * kUnits], o = gate[3 * kUnits],
                         tc = r.tanh_c[row * kUnits + j], old = r.cell[row * kUnits + j];
      const double di = i, df = f, dc = c, dout = o, dtc = tc;
      const float of_h = g[row * kUnits + j] + later[at];
      // f1 f2 (1 - s^2): three roundings of the product, one of the difference, and that of s^2,
      // which the difference may enlarge.
      const auto squared = [](double factors, double s) {
        return kUnit * std::abs(factors) * (s * s + 3 * (1 - s * s));
      };
      const float of_c = of_cell[at] + of_h * o * (1.0f - tc * tc);
      const double through = double{of_h} * dout * (1 - dtc * dtc),
                   want = double{of_cell[at]} + through;
      require_within(double{of_c}, want,
                     squared(double{of_h} * dout, dtc) + kUnit * std::abs(want));
      const float z[] = {of_c * c * (i * (1.0f - i)), of_c * old * (f * (1.0f - f)),
                         of_c * i * (1.0f - c * c), of_h * tc * (o * (1.0f - o))};
      const double wanted[] = {
          double{of_c} * dc * di * (1 - di), double{of_c} * double{old} * df * (1 - df),
          double{of_c} * di * (1 - dc * dc), double{of_h} * dtc * dout * (1 - dout)};
      for (std::int64_t k = 0; k < 4; ++k) {
        // Of the logistic gates: 1 - s and three products are rounded.
        require_within(double{z[k]}, wanted[k],
                       k == 2 ? squared(double{of_c} * di, dc) : 4 * kUnit * std::abs(wanted[k]));
        gz[row * kWide + k * kUnits + j] = z[k];
      }
      of_cell[at] = of_c * f;
    }
    const Tensor step = rows_of(gz, t * kStreams, kStreams);
    const Operand qz = operand_of(pass, step.matrix(), lstm.hidden, Role::gradient,
                                  Granularity::per_tensor, static_cast<std::uint64_t>(t) + 1);
    later = checked_product(qz, along);
  }
  return gz;
}

}  // namespace

TEST_CASE(
    "an LSTM and all its gradients are fake quantization of its codes, stage by stage, for every "
    "mixture of formats") {
  for (const NamedPlan& named : replay_plans("lstm0.input")) {
    CAPTURE(named.name);
    Bench bench;
    const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
    const State begin = random_state(Key(2));
    Pass pass = bench.pass(named.plan, 3);
    LstmState state = begin.on(pass.tape);
    const Tensor x = random_tensor({kRows, kIn}, Key(3)),
                 g = random_tensor({kRows, kUnits}, Key(4));
    const Var vx = pass.tape.variable(x);
    const Var vy = lstm(pass, vx, state);
    const Tensor h = pass.tape[vy], last_h = pass.tape[state.hidden],
                 last_c = pass.tape[state.cell];
    const Gradients gradients = pass.tape.backward(dot(pass, vy, g));

    Replay replay = replay_forward(pass, lstm, x, begin);
    CHECK(replay.h == h);
    CHECK(last_h == rows_of(replay.h, kRows - kStreams, kStreams));
    CHECK(last_c == rows_of(replay.cell, kRows, kStreams));

    const Tensor gz = replay_backward(pass, lstm, replay, g);
    const Tensor &wx = bench.params[lstm.input.weight], before = replay.h_prev(begin);
    const Operand all_z = operand_of(pass, gz.matrix(), lstm.hidden, Role::gradient),
                  all_h = operand_of(pass, before.matrix(), lstm.hidden, Role::activation),
                  of_input = operand_of(pass, gz.matrix(), lstm.input.site, Role::gradient),
                  along = operand_of(pass, wx.matrix(), lstm.input.site, Role::weight,
                                     Granularity::per_column),
                  qx = operand_of(pass, x.matrix(), lstm.input.site, Role::activation);
    const auto gradient = [&](ParamId id) { return gradients[static_cast<std::size_t>(id.index)]; };
    CHECK(gradient(lstm.weight) == checked_product(all_z.transposed(), all_h));
    CHECK(gradient(lstm.input.weight) == checked_product(of_input.transposed(), qx));
    CHECK(pass.tape.gradient_of(vx) == checked_product(of_input, along));
    require_column_sums(gradient(lstm.input.bias), gz);
  }
}

TEST_CASE("the gradients of an LSTM through time agree with central differences") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  for (const ParamId id : {lstm.input.weight, lstm.weight}) {
    for (float& w : bench.params[id].values()) w *= 2.0f;  // so that time matters
  }
  check_gradients(bench, {random_tensor({kSteps * kStreams, kIn}, Key(3))}, 40,
                  [&](Pass& pass, const std::vector<Var>& x) {
                    LstmState state = random_state(Key(2)).on(pass.tape);
                    return lstm(pass, x[0], state);
                  });
}

TEST_CASE(
    "gradients flow through the state of an LSTM, from window to window, into where it began") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  for (const ParamId id : {lstm.input.weight, lstm.weight}) {
    for (float& w : bench.params[id].values()) w *= 2.0f;
  }
  const State begin = random_state(Key(2));
  const Tensor x = random_tensor({kRows, kIn}, Key(3));
  check_gradients(
      bench, {x, begin.hidden, begin.cell}, 60, [&](Pass& pass, const std::vector<Var>& in) {
        LstmState state{in[1], in[2]};
        const Var first = lstm(pass, slice(pass, in[0], 0, 0, 2 * kStreams), state);
        const Var second = lstm(pass, slice(pass, in[0], 0, 2 * kStreams, kRows), state);
        return cat(pass, {first, second, state.hidden, state.cell}, 0);
      });
  // Cut in two or not, the values are the same.
  Pass pass = bench.pass();
  LstmState whole = begin.on(pass.tape), parts = begin.on(pass.tape);
  const Tensor all = pass.tape[lstm(pass, pass.tape.constant(x), whole)];
  lstm(pass, pass.tape.constant(rows_of(x, 0, kStreams)), parts);
  CHECK(pass.tape[lstm(pass, pass.tape.constant(rows_of(x, kStreams, kRows - kStreams)), parts)] ==
        rows_of(all, kStreams, kRows - kStreams));
  CHECK(pass.tape[parts.cell] == pass.tape[whole.cell]);
}

TEST_CASE("an LSTM charges its products, names its sites and refuses states that do not fit") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  Pass pass = bench.pass(int8());
  LstmState state = random_state(Key(2)).on(pass.tape);
  const Var x = pass.tape.variable(random_tensor({kSteps * kStreams, kIn}, Key(3)));
  const Var y = lstm(pass, x, state);
  static_cast<void>(
      pass.tape.backward(dot(pass, y, random_tensor({kSteps * kStreams, kUnits}, Key(4)))));
  REQUIRE(bench.ledger.rows().size() == 2);
  CHECK(bench.ledger.rows()[0].site.name == "lstm0.input");
  CHECK(bench.ledger.rows()[1].site.name == "lstm0.hidden");
  for (std::size_t p = 0; p < 3; ++p)
    CHECK(bench.ledger.rows()[0].cells[p].macs == kSteps * kStreams * 4 * kUnits * kIn);
  for (std::size_t p = 0; p < 3; ++p)
    CHECK(bench.ledger.rows()[1].cells[p].macs == kSteps * kStreams * 4 * kUnits * kUnits);
  Pass other = bench.pass(int8());
  LstmState fits = random_state(Key(2)).on(other.tape);
  CHECK_THROWS_AS(lstm(other, other.tape.constant(Tensor::zeros({kStreams + 1, kIn})), fits),
                  ShapeError);
  const Tensor zeros = Tensor::zeros({kStreams, kUnits + 1});
  LstmState wide = State{zeros, zeros}.on(other.tape);
  CHECK_THROWS_AS(lstm(other, other.tape.constant(Tensor::zeros({kStreams, kIn})), wide),
                  ShapeError);
}

TEST_CASE("evaluation encodes the hidden state over its running range and leaves that as it is") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  const State begin = random_state(Key(2));
  Pass train = bench.pass(int8());
  LstmState state = begin.on(train.tape);
  lstm(train, train.tape.constant(random_tensor({kRows, kIn}, Key(3))), state);
  train.effects.apply_to(bench.params);
  CHECK(bench.params[lstm.range][2] == 1.0f);
  const Tensor x = random_tensor({kRows, kIn}, Key(5));
  for (const bool narrow : {false, true}) {
    if (narrow) bench.params[lstm.range][1] = 1e-3f;  // so that everything is clamped
    const Tensor kept = bench.params[lstm.range];
    Pass evaluation = bench.pass(int8(), 0, Pass::Mode::evaluate);
    state = begin.on(evaluation.tape);
    CHECK(evaluation.tape[lstm(evaluation, evaluation.tape.constant(x), state)] ==
          replay_forward(evaluation, lstm, x, begin).h);
    evaluation.effects.apply_to(bench.params);
    CHECK(bench.params[lstm.range] == kept);
  }
}
