#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/lstm.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

constexpr std::int64_t kSteps = 4, kStreams = 3, kIn = 5, kUnits = 6;

LstmState random_state(Key key) {
  return {random_tensor({kStreams, kUnits}, key.fold("h"), 0.5), random_tensor({kStreams, kUnits}, key.fold("c"))};
}

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

PrecisionPlan int8() { return PrecisionPlan::uniform(Format::integer(8), Format::integer(8)); }

}  // namespace

TEST_CASE("an LSTM is its definition in double, in float32 and on the codes of an int-8 plan, and carries its state") {
  for (const PrecisionPlan& plan : {PrecisionPlan::fp32(), int8()}) {
    CAPTURE(to_text(plan.formats.weight));
    Bench bench;
    const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
    LstmState state = random_state(Key(2));
    const LstmState begin = state;
    Pass pass = bench.pass(plan);
    const Tensor x = random_tensor({kSteps * kStreams, kIn}, Key(3));
    const Tensor h = pass.tape[lstm(pass, pass.tape.constant(x), state)];

    const Operand qx = pass.encode(x.matrix(), lstm.input.site, Role::activation);
    const Operand qwx = pass.encode(bench.params[lstm.input.weight].matrix(), lstm.input.site, Role::weight, GridAxis::rows);
    const Operand qwh = pass.encode(bench.params[lstm.weight].matrix(), lstm.hidden, Role::weight, GridAxis::rows);
    std::vector<double> cell(begin.cell.values().begin(), begin.cell.values().end());
    Tensor before = begin.hidden;
    for (std::int64_t t = 0; t < kSteps; ++t) {
      const Operand qh =
          pass.encode(before.matrix(), lstm.hidden, Role::activation, GridAxis::whole, static_cast<std::uint64_t>(t) + 1);
      for (std::int64_t s = 0; s < kStreams; ++s) {
        for (std::int64_t j = 0; j < kUnits; ++j) {
          double z[4];
          for (std::int64_t gate = 0; gate < 4; ++gate) {
            const std::int64_t row = gate * kUnits + j;
            z[gate] = double{bench.params[lstm.input.bias][row]};
            for (std::int64_t k = 0; k < kIn; ++k) z[gate] += qx.value(t * kStreams + s, k) * qwx.value(row, k);
            for (std::int64_t k = 0; k < kUnits; ++k) z[gate] += qh.value(s, k) * qwh.value(row, k);
          }
          double& c = cell[static_cast<std::size_t>(s * kUnits + j)];
          c = logistic(z[1]) * c + logistic(z[0]) * std::tanh(z[2]);
          const double want = logistic(z[3]) * std::tanh(c);
          // Gate inputs of magnitude below 4 are off by 15 roundings; every function and product by a few more; cells add up.
          REQUIRE(std::abs(double{h[(t * kStreams + s) * kUnits + j]} - want) <= static_cast<double>(t + 1) * 100 * kUnit);
        }
      }
      for (std::int64_t i = 0; i < before.size(); ++i) before[i] = h[t * kStreams * kUnits + i];
    }
    CHECK(state.hidden == before);
    for (std::int64_t i = 0; i < state.cell.size(); ++i)
      CHECK(std::abs(double{state.cell[i]} - cell[static_cast<std::size_t>(i)]) <= 1e-4);
  }
}

TEST_CASE("the gradients of an LSTM through time agree with central differences") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  for (const ParamId id : {lstm.input.weight, lstm.weight}) {
    for (float& w : bench.params[id].values()) w *= 2.0f;  // so that time matters
  }
  check_gradients(bench, {random_tensor({kSteps * kStreams, kIn}, Key(3))}, 40, [&](Pass& pass, const std::vector<Var>& x) {
    LstmState state = random_state(Key(2));
    return lstm(pass, x[0], state);
  });
}

TEST_CASE("the backward products of an LSTM are those of its codes") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  LstmState state = random_state(Key(2));
  const LstmState begin = state;
  Pass pass = bench.pass(int8());
  const Tensor input = random_tensor({kSteps * kStreams, kIn}, Key(3)), g = random_tensor({kSteps * kStreams, kUnits}, Key(4));
  const Var x = pass.tape.variable(input);
  const Var y = lstm(pass, x, state);
  const Tensor h = pass.tape[y];
  const Gradients gradients = pass.tape.backward(dot(pass, y, g));

  // The same recurrence with every product taken from the operands' values in double; gate values are replayed in double.
  const auto value = [](const Operand& a, std::int64_t i, std::int64_t j) { return a.value(i, j); };
  const Operand qx = pass.encode(input.matrix(), lstm.input.site, Role::activation);
  const Operand qwx = pass.encode(bench.params[lstm.input.weight].matrix(), lstm.input.site, Role::weight, GridAxis::rows);
  const Operand qwh = pass.encode(bench.params[lstm.weight].matrix(), lstm.hidden, Role::weight, GridAxis::rows);
  const Operand along = pass.encode(bench.params[lstm.weight].matrix(), lstm.hidden, Role::weight, GridAxis::columns);
  constexpr std::int64_t kRows = kSteps * kStreams, kWide = 4 * kUnits;
  Tensor before = Tensor::zeros({kRows, kUnits});
  for (std::int64_t i = 0; i < before.size(); ++i) before[i] = i < kStreams * kUnits ? begin.hidden[i] : h[i - kStreams * kUnits];
  std::vector<double> gate(kRows * kWide), cell(static_cast<std::size_t>((kSteps + 1) * kStreams * kUnits));
  for (std::int64_t i = 0; i < begin.cell.size(); ++i) cell[static_cast<std::size_t>(i)] = double{begin.cell[i]};
  const auto at = [](std::int64_t row, std::int64_t col, std::int64_t cols) { return static_cast<std::size_t>(row * cols + col); };
  for (std::int64_t t = 0; t < kSteps; ++t) {
    const Operand qh = pass.encode({before.data() + t * kStreams * kUnits, kStreams, kUnits, kUnits}, lstm.hidden, Role::activation,
                                   GridAxis::whole, static_cast<std::uint64_t>(t) + 1);
    for (std::int64_t row = t * kStreams; row < (t + 1) * kStreams; ++row) {
      for (std::int64_t j = 0; j < kWide; ++j) {
        double z = double{bench.params[lstm.input.bias][j]};
        for (std::int64_t k = 0; k < kIn; ++k) z += value(qx, row, k) * value(qwx, j, k);
        for (std::int64_t k = 0; k < kUnits; ++k) z += value(qh, row - t * kStreams, k) * value(qwh, j, k);
        gate[at(row, j, kWide)] = j / kUnits == 2 ? std::tanh(z) : logistic(z);
      }
      for (std::int64_t j = 0; j < kUnits; ++j) {
        const double* const v = &gate[at(row, j, kWide)];
        cell[at(row + kStreams, j, kUnits)] = v[kUnits] * cell[at(row, j, kUnits)] + v[0] * v[2 * kUnits];
      }
    }
  }
  Tensor gz = Tensor::zeros({kRows, kWide});
  std::vector<double> later(kStreams * kUnits), gc(kStreams * kUnits);
  for (std::int64_t t = kSteps; t-- > 0;) {
    for (std::int64_t s = 0; s < kStreams; ++s) {
      for (std::int64_t j = 0; j < kUnits; ++j) {
        const std::int64_t row = t * kStreams + s;
        const double* const v = &gate[at(row, j, kWide)];
        const double i = v[0], f = v[kUnits], c = v[2 * kUnits], o = v[3 * kUnits];
        const double tc = std::tanh(cell[at(row + kStreams, j, kUnits)]),
                     of_h = double{g[row * kUnits + j]} + later[at(s, j, kUnits)];
        const double of_c = gc[at(s, j, kUnits)] + of_h * o * (1 - tc * tc);
        float* const z = gz.data() + row * kWide + j;
        z[0] = static_cast<float>(of_c * c * i * (1 - i));
        z[kUnits] = static_cast<float>(of_c * cell[at(row, j, kUnits)] * f * (1 - f));
        z[2 * kUnits] = static_cast<float>(of_c * i * (1 - c * c));
        z[3 * kUnits] = static_cast<float>(of_h * tc * o * (1 - o));
        gc[at(s, j, kUnits)] = of_c * f;
      }
    }
    const Operand qz = pass.encode({gz.data() + t * kStreams * kWide, kStreams, kWide, kWide}, lstm.hidden, Role::gradient,
                                   GridAxis::whole, static_cast<std::uint64_t>(t) + 1);
    for (std::int64_t s = 0; s < kStreams; ++s) {
      for (std::int64_t j = 0; j < kUnits; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < kWide; ++k) sum += qz.value(s, k) * along.value(k, j);
        later[at(s, j, kUnits)] = sum;
      }
    }
  }
  const Operand qz = pass.encode(gz.matrix(), lstm.hidden, Role::gradient),
                qh = pass.encode(before.matrix(), lstm.hidden, Role::activation);
  const Tensor& gw = gradients[static_cast<std::size_t>(lstm.weight.index)];
  // Gradients of gate inputs differ in their last bits, so some lie on the other side of a rounding threshold: a code apart.
  const double step = double{qz.grid().scale} * 2;
  std::int64_t close = 0;
  for (std::int64_t i = 0; i < kWide; ++i) {
    for (std::int64_t j = 0; j < kUnits; ++j) {
      double sum = 0;
      for (std::int64_t row = 0; row < kRows; ++row) sum += qz.value(row, i) * qh.value(row, j);
      const double off = std::abs(double{gw[i * kUnits + j]} - sum);
      CHECK(off <= 2 * step);
      close += off <= 1e-5 ? 1 : 0;
    }
  }
  CHECK(close >= 9 * kWide * kUnits / 10);
}

TEST_CASE("an LSTM charges its products, names its sites and refuses states that do not fit") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  LstmState state = random_state(Key(2));
  Pass pass = bench.pass(int8());
  const Var x = pass.tape.variable(random_tensor({kSteps * kStreams, kIn}, Key(3)));
  const Var y = lstm(pass, x, state);
  static_cast<void>(pass.tape.backward(dot(pass, y, random_tensor({kSteps * kStreams, kUnits}, Key(4)))));
  REQUIRE(bench.ledger.rows().size() == 2);
  CHECK(bench.ledger.rows()[0].site.name == "lstm0.input");
  CHECK(bench.ledger.rows()[1].site.name == "lstm0.hidden");
  for (std::size_t p = 0; p < 3; ++p) CHECK(bench.ledger.rows()[0].cells[p].macs == kSteps * kStreams * 4 * kUnits * kIn);
  for (std::size_t p = 0; p < 3; ++p) CHECK(bench.ledger.rows()[1].cells[p].macs == kSteps * kStreams * 4 * kUnits * kUnits);
  CHECK_THROWS_AS(lstm(pass, pass.tape.constant(Tensor::zeros({kStreams + 1, kIn})), state), ShapeError);
  LstmState wide{Tensor::zeros({kStreams, kUnits + 1}), Tensor::zeros({kStreams, kUnits + 1})};
  CHECK_THROWS_AS(lstm(pass, pass.tape.constant(Tensor::zeros({kStreams, kIn})), wide), ShapeError);
}

TEST_CASE("evaluation encodes the hidden state over its running range and leaves that as it is") {
  Bench bench;
  const Lstm lstm = Lstm::create(bench.params, "lstm0", kIn, kUnits, Key(1));
  const Tensor x = random_tensor({kSteps * kStreams, kIn}, Key(3));
  LstmState state = random_state(Key(2));
  Pass train = bench.pass(int8());
  lstm(train, train.tape.constant(x), state);
  const Tensor kept = bench.params[lstm.range];
  CHECK(kept[2] == 1.0f);
  bench.params[lstm.range][1] = 1e-3f;  // so narrow that everything is clamped
  Pass evaluation = bench.pass(int8(), 0, Pass::Mode::evaluate), narrow = bench.pass(int8(), 0, Pass::Mode::evaluate);
  LstmState a = random_state(Key(2)), b = a;
  const Tensor clamped = evaluation.tape[lstm(evaluation, evaluation.tape.constant(x), a)];
  CHECK(bench.params[lstm.range][2] == 1.0f);
  bench.params[lstm.range] = kept;
  CHECK(clamped != narrow.tape[lstm(narrow, narrow.tape.constant(x), b)]);
}
