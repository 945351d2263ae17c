#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "layers/attention.h"
#include "passes.h"

using namespace ebb;
using namespace ebb::test;

namespace {

constexpr std::int64_t kRows = 2, kLength = 5, kHeads = 3, kDepth = 4, kWidth = kHeads * kDepth;

PrecisionPlan plan_of(int forward, int gradient) {
  const auto format = [](int bits) { return bits == 32 ? Format::fp32() : Format::integer(bits); };
  return PrecisionPlan::uniform(format(forward), format(gradient));
}

ConstMatrix part(const Tensor& qkv, std::int64_t which) {
  return {qkv.data() + which * kWidth, kRows * kLength, kWidth, 3 * kWidth};
}

/// softmax(s / sqrt(d)) in double.
std::vector<double> probabilities(const std::vector<double>& s, std::int64_t seen) {
  std::vector<double> p(s.size(), 0.0);
  double largest = -1e300, sum = 0;
  for (std::int64_t j = 0; j < seen; ++j) largest = std::max(largest, s[static_cast<std::size_t>(j)]);
  for (std::int64_t j = 0; j < seen; ++j)
    sum += p[static_cast<std::size_t>(j)] = std::exp((s[static_cast<std::size_t>(j)] - largest) / std::sqrt(double{kDepth}));
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace

TEST_CASE("attention and its gradients are those of its codes, for every mixture of formats, causal or not") {
  for (const auto& widths : {std::pair{32, 32}, {8, 8}, {3, 6}, {10, 16}, {4, 32}}) {
    const int forward = widths.first, gradient = widths.second;  // clang 14 cannot capture structured bindings
    for (const bool causal : {true, false}) {
      CAPTURE(forward);
      CAPTURE(gradient);
      CAPTURE(causal);
      Bench bench;
      Pass pass = bench.pass(plan_of(forward, gradient));
      const Attention attention = Attention::create("block0.attention", kHeads, causal);
      const Tensor qkv = random_tensor({kRows * kLength, 3 * kWidth}, Key(1)), g = random_tensor({kRows * kLength, kWidth}, Key(2));
      const Var x = pass.tape.variable(qkv);
      const Var out = attention(pass, x, kRows);
      const Tensor y = pass.tape[out];
      static_cast<void>(pass.tape.backward(dot(pass, out, g)));
      const Tensor& gx = pass.tape.gradient_of(x);

      const Operand q = pass.encode(part(qkv, 0), attention.scores, Role::activation),
                    k = pass.encode(part(qkv, 1), attention.scores, Role::weight),
                    v = pass.encode(part(qkv, 2), attention.values, Role::weight),
                    gy = pass.encode(g.matrix(), attention.values, Role::gradient);
      Tensor p = Tensor::zeros({kRows * kHeads * kLength, kLength}), gs = p;
      const auto at = [](std::int64_t row, std::int64_t t) { return row * kLength + t; };
      const auto line = [](std::int64_t row, std::int64_t h, std::int64_t t) { return (row * kHeads + h) * kLength + t; };
      for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t h = 0; h < kHeads; ++h) {
          for (std::int64_t i = 0; i < kLength; ++i) {
            std::vector<double> s(kLength), of_p(kLength);
            for (std::int64_t j = 0; j < kLength; ++j) {
              for (std::int64_t e = h * kDepth; e < (h + 1) * kDepth; ++e) {
                s[static_cast<std::size_t>(j)] += q.value(at(row, i), e) * k.value(at(row, j), e);
                of_p[static_cast<std::size_t>(j)] += gy.value(at(row, i), e) * v.value(at(row, j), e);
              }
            }
            const std::vector<double> soft = probabilities(s, causal ? i + 1 : kLength);
            double mean = 0;
            for (std::size_t j = 0; j < soft.size(); ++j) mean += soft[j] * of_p[j];
            for (std::size_t j = 0; j < soft.size(); ++j) {
              const std::int64_t to = line(row, h, i) * kLength + static_cast<std::int64_t>(j);
              p[to] = static_cast<float>(soft[j]);
              gs[to] = static_cast<float>(soft[j] * (of_p[j] - mean) / std::sqrt(double{kDepth}));
            }
          }
        }
      }
      // Probabilities and their gradients differ from these by a few roundings, so that single codes may be a step apart; a step
      // of a grid over all of them, times the largest operand beside it, bounds what that changes.
      const Operand by_row = pass.encode(p.matrix(), attention.values, Role::activation, GridAxis::rows);
      const Operand whole_p = pass.encode(p.matrix(), attention.values, Role::activation),
                    qs = pass.encode(gs.matrix(), attention.scores, Role::gradient);
      const auto step = [](const Operand& o) { return o.is_float() ? 1e-6 : double{o.grid().scale}; };
      std::int64_t close = 0, all = 0;
      const auto agree = [&](float got, double want, double allowed) {
        const double off = std::abs(double{got} - want);
        CHECK(off <= allowed);
        close += off <= 2e-5 ? 1 : 0;
        ++all;
      };
      for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t e = 0; e < kWidth; ++e) {
          const std::int64_t h = e / kDepth;
          for (std::int64_t t = 0; t < kLength; ++t) {
            double of_y = 0, of_q = 0, of_k = 0, of_v = 0;
            for (std::int64_t j = 0; j < kLength; ++j) {
              of_y += by_row.value(line(row, h, t), j) * v.value(at(row, j), e);
              of_q += qs.value(line(row, h, t), j) * k.value(at(row, j), e);
              of_k += qs.value(line(row, h, j), t) * q.value(at(row, j), e);
              of_v += whole_p.value(line(row, h, j), t) * gy.value(at(row, j), e);
            }
            const std::int64_t token = at(row, t);
            agree(y[token * kWidth + e], of_y, 4.0 * step(whole_p) + 1e-5);
            agree(gx[token * 3 * kWidth + e], of_q, 4.0 * step(qs) + 1e-5);
            agree(gx[token * 3 * kWidth + kWidth + e], of_k, 4.0 * step(qs) + 1e-5);
            agree(gx[token * 3 * kWidth + 2 * kWidth + e], of_v, 4.0 * step(whole_p) + 1e-5);
          }
        }
      }
      CHECK(close >= 95 * all / 100);
    }
  }
}

TEST_CASE("the gradients of attention and of rotary places agree with central differences") {
  Bench bench;
  for (const bool causal : {true, false}) {
    check_gradients(bench, {random_tensor({kRows * kLength, 3 * kWidth}, Key(1))}, 30, [&](Pass& pass, const std::vector<Var>& x) {
      return Attention::create("attention", kHeads, causal)(pass, rotary(pass, x[0], kRows, kHeads), kRows);
    });
  }
}

TEST_CASE("a causal attention does not look ahead, and rotary scores depend on distances alone") {
  Bench bench;
  Pass pass = bench.pass();
  const Attention attention = Attention::create("attention", kHeads, true);
  Tensor qkv = random_tensor({kRows * kLength, 3 * kWidth}, Key(1));
  const Tensor before = pass.tape[attention(pass, pass.tape.constant(qkv), kRows)];
  for (std::int64_t i = 3 * 3 * kWidth; i < kLength * 3 * kWidth; ++i) qkv[i] += 1.0f;  // tokens 3 and 4 of the first row
  const Tensor after = pass.tape[attention(pass, pass.tape.constant(qkv), kRows)];
  for (std::int64_t i = 0; i < before.size(); ++i) CHECK((before[i] == after[i]) == (i / kWidth < 3 || i / kWidth >= kLength));

  Tensor same = Tensor::uninitialized({kLength, 3 * kWidth});
  for (std::int64_t i = 0; i < same.size(); ++i)
    same[i] = static_cast<float>(Key(2).normal(static_cast<std::uint64_t>(i % (3 * kWidth))));
  const Tensor turned = pass.tape[rotary(pass, pass.tape.constant(same), 1, kHeads)];
  const auto score = [&](std::int64_t t, std::int64_t u) {
    double sum = 0;
    for (std::int64_t e = 0; e < kDepth; ++e)
      sum += double{turned[t * 3 * kWidth + e]} * double{turned[u * 3 * kWidth + kWidth + e]};
    return sum;
  };
  CHECK(std::abs(score(1, 0) - score(4, 3)) < 1e-5);
  CHECK(std::abs(score(3, 1) - score(4, 2)) < 1e-5);
  CHECK(std::abs(score(1, 0) - score(4, 1)) > 1e-3);
  for (std::int64_t i = 2 * kWidth; i < 3 * kWidth; ++i) CHECK(turned[4 * 3 * kWidth + i] == same[4 * 3 * kWidth + i]);
}

TEST_CASE("attention charges its products by site and refuses shapes that do not fit") {
  Bench bench;
  Pass pass = bench.pass(plan_of(3, 8));
  const Attention attention = Attention::create("block3.attention", kHeads, true);
  const Var x = pass.tape.variable(random_tensor({kRows * kLength, 3 * kWidth}, Key(1)));
  const Var y = attention(pass, x, kRows);
  static_cast<void>(pass.tape.backward(dot(pass, y, random_tensor({kRows * kLength, kWidth}, Key(2)))));
  REQUIRE(bench.ledger.rows().size() == 2);
  constexpr std::uint64_t macs = kRows * kHeads * kLength * kLength * kDepth;
  for (const auto& row : bench.ledger.rows()) {
    CHECK((row.site.name == "block3.attention.qk" || row.site.name == "block3.attention.av"));
    CHECK(row.cells[0] == CostLedger::Cell{macs, macs * 9});
    CHECK(row.cells[1] == CostLedger::Cell{macs, macs * 24});
    CHECK(row.cells[2] == CostLedger::Cell{macs, macs * 24});
  }
  CHECK_THROWS_AS(attention(pass, x, 3), ShapeError);
  CHECK_THROWS_AS(Attention::create("a", 5, true)(pass, x, kRows), ShapeError);
  CHECK_THROWS_AS(rotary(pass, x, kRows, 4), ShapeError);
}
