#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/sums.h"
#include "layers/attention.h"
#include "layers/functions.h"
#include "layers/shape_ops.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

constexpr std::int64_t kHeads = 3, kDepth = 4, kWidth = kHeads * kDepth;
const double kInverseRoot = 1.0 / std::sqrt(double{kDepth});

/// The layer's own arithmetic, for heads of kDepth elements: of the scores [n, n] of one head,
Tensor probabilities(Tensor s, bool causal) {
  const std::int64_t n = s.shape()[1];
  for (std::int64_t i = 0; i < n; ++i) {
    float* const r = s.data() + i * n;
    const std::int64_t seen = causal ? i + 1 : n;
    for (std::int64_t j = 0; j < seen; ++j) r[j] *= static_cast<float>(kInverseRoot);
    exp_rows(r, seen, *std::max_element(r, r + seen), r, Simd::scalar);
    const auto share =
        static_cast<float>(1.0 / chained_sum(seen, [&](std::int64_t j) { return double{r[j]}; }));
    for (std::int64_t j = 0; j < n; ++j) r[j] = j < seen ? r[j] * share : 0.0f;
  }
  return s;
}
/// and of their gradients.
Tensor score_gradients(const Tensor& p, Tensor g, bool causal) {
  const std::int64_t n = g.shape()[1];
  for (std::int64_t i = 0; i < n; ++i) {
    const float* const pi = p.data() + i * n;
    float* const r = g.data() + i * n;
    const std::int64_t seen = causal ? i + 1 : n;
    const auto mean = static_cast<float>(
        chained_sum(seen, [&](std::int64_t j) { return double{r[j]} * double{pi[j]}; }));
    for (std::int64_t j = 0; j < n; ++j)
      r[j] = j < seen ? pi[j] * (r[j] - mean) * static_cast<float>(kInverseRoot) : 0.0f;
  }
  return g;
}

}  // namespace

TEST_CASE("rows of different lengths packed one after the other attend as each of them by itself") {
  const std::vector<std::int64_t> lengths{3, 1, 4, 4, 2};  // a run of two among them
  const Tensor qkv = random_tensor({14, 3 * kWidth}, Key(1)),
               g = random_tensor({14, kWidth}, Key(2));
  for (const bool causal : {true, false}) {
    CAPTURE(causal);
    Bench bench;
    const auto run = [&](const Tensor& x, const Tensor& r, std::span<const std::int64_t> n) {
      Pass pass = bench.pass();
      const Var in = pass.tape.variable(x);
      const Var out =
          Attention::create("attention", kHeads, causal)(pass, rotary(pass, in, n, kHeads), n);
      const Tensor y = pass.tape[out];
      static_cast<void>(pass.tape.backward(dot(pass, out, r)));
      return std::pair(y, pass.tape.gradient_of(in));
    };
    const auto packed = run(qkv, g, lengths);
    std::int64_t token = 0;
    for (const std::int64_t n : lengths) {
      const auto cut = [&](const Tensor& x, std::int64_t width) {
        return Tensor::from({n, width}, x.values().subspan(static_cast<std::size_t>(token * width),
                                                           static_cast<std::size_t>(n * width)));
      };
      const auto alone = run(cut(qkv, 3 * kWidth), cut(g, kWidth), std::array{n});
      CHECK(alone.first == cut(packed.first, kWidth));
      CHECK(alone.second == cut(packed.second, 3 * kWidth));
      token += n;
    }
    check_gradients(bench, {qkv}, 30, [&](Pass& pass, const std::vector<Var>& x) {
      return Attention::create("attention", kHeads, causal)(
          pass, rotary(pass, x[0], lengths, kHeads), lengths);
    });
  }
}

TEST_CASE(
    "packed rows share the grids of Q, K, V, of the gradients and of P as a weight's partner, "
    "whatever their lengths") {
  // One row of 4 tokens, then one of 2: the replay by hand of each product on the operands of the
  // whole pack.
  const std::vector<std::int64_t> lengths{4, 2}, begin{0, 4};
  const Tensor qkv = random_tensor({6, 3 * kWidth}, Key(1)), g = random_tensor({6, kWidth}, Key(2));
  for (const NamedPlan& named : replay_plans("attention.av")) {
    CAPTURE(named.name);
    Bench bench;
    Pass pass = bench.pass(named.plan, 5);
    const Attention attention = Attention::create("attention", kHeads, false);
    const Site &qk = attention.scores, &av = attention.values;
    const Var x = pass.tape.variable(qkv);
    const Var out = attention(pass, x, lengths);
    const Tensor y = pass.tape[out];
    static_cast<void>(pass.tape.backward(dot(pass, out, g)));
    const Tensor& gx = pass.tape.gradient_of(x);
    const auto of = [&](std::int64_t which) {
      return ConstMatrix{qkv.data() + which * kWidth, 6, kWidth, 3 * kWidth};
    };
    const auto one = [&](const Operand& whole, std::size_t row, std::int64_t h) {
      return whole.rows(begin[row], lengths[row]).columns(h * kDepth, kDepth);
    };
    const auto holds = [&](const Tensor& all, std::int64_t first, std::size_t row, std::int64_t h,
                           const Tensor& want) {
      for (std::int64_t i = 0; i < want.size(); ++i) {
        const std::int64_t at =
            (begin[row] + i / kDepth) * all.shape()[1] + first + h * kDepth + i % kDepth;
        if (all[at] != want[i]) return false;
      }
      return true;
    };
    const Operand q = operand_of(pass, of(0), qk, Role::activation),
                  k = operand_of(pass, of(1), qk, Role::weight),
                  v = operand_of(pass, of(2), av, Role::weight),
                  gy = operand_of(pass, g.matrix(), av, Role::gradient);
    const auto product = [](const Operand& a, const Operand& b, const auto& cut_a,
                            const auto& cut_b) {
      const auto kinds = same_kind(a, b);
      return checked_product(cut_a(kinds.first), cut_b(kinds.second));
    };
    // Probabilities of all rows and heads one after the other.
    std::vector<float> p, gs;
    const auto squares = [&](const std::vector<float>& all, std::size_t row, std::int64_t h) {
      return Tensor::from(
          {lengths[row], lengths[row]},
          std::span(all).subspan(static_cast<std::size_t>((row == 0 ? 0 : kHeads * 16) +
                                                          h * lengths[row] * lengths[row]),
                                 static_cast<std::size_t>(lengths[row] * lengths[row])));
    };
    for (std::size_t row = 0; row < 2; ++row) {
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const Tensor one_p =
            probabilities(product(
                              q, k, [&](const Operand& m) { return one(m, row, h); },
                              [&](const Operand& m) { return one(m, row, h).transposed(); }),
                          false);
        p.insert(p.end(), one_p.values().begin(), one_p.values().end());
      }
    }
    const Tensor all_p = Tensor::from({1, static_cast<std::int64_t>(p.size())}, p);
    const Operand whole_p = operand_of(pass, all_p.matrix(), av, Role::activation);
    for (std::size_t row = 0; row < 2; ++row) {
      const std::int64_t n = lengths[row];
      const Tensor own = Tensor::from(
          {kHeads * n, n}, std::span(p).subspan(row == 0 ? 0 : kHeads * 16,
                                                static_cast<std::size_t>(kHeads * n * n)));
      const Operand by_row =
          operand_of(pass, own.matrix(), av, Role::activation, Granularity::per_row, row);
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const std::int64_t first = (row == 0 ? 0 : kHeads * 16) + h * n * n;
        CHECK(holds(y, 0, row, h,
                    product(
                        by_row, v, [&](const Operand& m) { return m.rows(h * n, n); },
                        [&](const Operand& m) { return one(m, row, h); })));
        CHECK(holds(
            gx, 2 * kWidth, row, h,
            product(
                whole_p, gy, [&](const Operand& m) { return m.reshaped(first, n, n).transposed(); },
                [&](const Operand& m) { return one(m, row, h); })));
        const Tensor gp = product(
            gy, v, [&](const Operand& m) { return one(m, row, h); },
            [&](const Operand& m) { return one(m, row, h).transposed(); });
        const Tensor one_gs = score_gradients(squares(p, row, h), gp, false);
        gs.insert(gs.end(), one_gs.values().begin(), one_gs.values().end());
      }
    }
    const Tensor all_gs = Tensor::from({1, static_cast<std::int64_t>(gs.size())}, gs);
    const Operand qs = operand_of(pass, all_gs.matrix(), qk, Role::gradient);
    for (std::size_t row = 0; row < 2; ++row) {
      const std::int64_t n = lengths[row];
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const std::int64_t first = (row == 0 ? 0 : kHeads * 16) + h * n * n;
        const auto cut = [&](const Operand& m) { return one(m, row, h); };
        CHECK(holds(gx, 0, row, h,
                    product(
                        qs, k, [&](const Operand& m) { return m.reshaped(first, n, n); }, cut)));
        CHECK(
            holds(gx, kWidth, row, h,
                  product(
                      qs, q, [&](const Operand& m) { return m.reshaped(first, n, n).transposed(); },
                      cut)));
      }
    }
  }
}

TEST_CASE("long causal rows multiply what each strip of 64 tokens sees, and charge it") {
  constexpr std::int64_t n = 150, heads = 2, width = heads * kDepth;
  const Tensor qkv = random_tensor({n, 3 * width}, Key(1));
  Tensor g = random_tensor({n, width}, Key(2));
  for (std::int64_t i = (n - 1) * width; i < n * width; ++i)
    g[i] *= 100.0f;  // the last row of all decides the gradients' range
  for (const NamedPlan& named : replay_plans("attention.av")) {
    CAPTURE(named.name);
    Bench bench;
    Pass pass = bench.pass(named.plan, 5);
    const Attention attention = Attention::create("attention", heads, true);
    const Site &qk = attention.scores, &av = attention.values;
    const Var x = pass.tape.variable(qkv);
    const Var out = attention(pass, x, std::array{n});
    const Tensor y = pass.tape[out];
    static_cast<void>(pass.tape.backward(dot(pass, out, g)));
    const Tensor& gx = pass.tape.gradient_of(x);
    const auto of = [&](std::int64_t which) {
      return ConstMatrix{qkv.data() + which * width, n, width, 3 * width};
    };
    const Operand q = operand_of(pass, of(0), qk, Role::activation),
                  k = operand_of(pass, of(1), qk, Role::weight),
                  v = operand_of(pass, of(2), av, Role::weight),
                  gy = operand_of(pass, g.matrix(), av, Role::gradient);

    const auto put = [](Tensor& to, std::int64_t row, std::int64_t col, const Tensor& part) {
      const std::int64_t cols = part.shape()[1];
      for (std::int64_t i = 0; i < part.size(); ++i)
        to[(row + i / cols) * to.shape()[1] + col + i % cols] = part[i];
    };
    const auto each_strip = [&](const auto& then) {
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t first = 0; first < n; first += 64)
          then(h, first, std::min<std::int64_t>(64, n - first));
    };
    // Of the tokens first .. first + count, their columns of head h.
    const auto tokens = [&](const Operand& m, std::int64_t h, std::int64_t first,
                            std::int64_t count) {
      return m.rows(first, count).columns(h * kDepth, kDepth);
    };
    Tensor p = Tensor::zeros({heads * n, n}), gs = p, want_y = Tensor::zeros({n, width}),
           want_gx = Tensor::zeros({n, 3 * width});
    const auto scores = [&](Tensor& to, const Operand& a, const Operand& b) {
      const auto kinds = same_kind(a, b);
      each_strip([&](std::int64_t h, std::int64_t first, std::int64_t count) {
        put(to, h * n + first, 0,
            checked_product(tokens(kinds.first, h, first, count),
                            tokens(kinds.second, h, 0, first + count).transposed()));
      });
    };
    const auto of_head = [&](const Tensor& squares, std::int64_t h) {
      return Tensor::from({n, n}, squares.values().subspan(static_cast<std::size_t>(h * n * n),
                                                           static_cast<std::size_t>(n * n)));
    };
    const auto by_rows = [&](Tensor& to, std::int64_t col, const Operand& squares,
                             const Operand& b) {
      const auto kinds = same_kind(squares, b);
      each_strip([&](std::int64_t h, std::int64_t first, std::int64_t count) {
        put(to, first, col + h * kDepth,
            checked_product(kinds.first.rows(h * n + first, count).columns(0, first + count),
                            tokens(kinds.second, h, 0, first + count)));
      });
    };
    const auto by_columns = [&](std::int64_t col, const Operand& squares, const Operand& b) {
      const auto kinds = same_kind(squares, b);
      each_strip([&](std::int64_t h, std::int64_t first, std::int64_t count) {
        put(want_gx, first, col + h * kDepth,
            checked_product(
                kinds.first.rows(h * n + first, n - first).columns(first, count).transposed(),
                tokens(kinds.second, h, first, n - first)));
      });
    };
    scores(p, q, k);
    for (std::int64_t h = 0; h < heads; ++h) put(p, h * n, 0, probabilities(of_head(p, h), true));
    by_rows(want_y, 0, operand_of(pass, p.matrix(), av, Role::activation, Granularity::per_row), v);
    CHECK(y == want_y);
    by_columns(2 * width, operand_of(pass, p.matrix(), av, Role::activation), gy);
    scores(gs, gy, v);
    for (std::int64_t h = 0; h < heads; ++h)
      put(gs, h * n, 0, score_gradients(of_head(p, h), of_head(gs, h), true));
    const Operand qs = operand_of(pass, gs.matrix(), qk, Role::gradient);
    by_rows(want_gx, 0, qs, k);
    by_columns(width, qs, q);
    CHECK(gx == want_gx);

    constexpr std::uint64_t macs = heads * kDepth * (64 * 64 + 64 * 128 + 22 * 150);
    for (const auto& row : bench.ledger.rows()) {
      for (const Product product : {Product::forward, Product::grad_left, Product::grad_right})
        CHECK(row.cells[static_cast<std::size_t>(product)].macs == macs);
    }
  }
}

TEST_CASE("attention over queries, keys and values of their own has the bits of that over qkv") {
  const std::vector<std::int64_t> lengths{3, 1, 4, 4, 2};
  const Tensor qkv = random_tensor({14, 3 * kWidth}, Key(1)),
               g = random_tensor({14, kWidth}, Key(2));
  for (const bool causal : {true, false}) {
    for (const PrecisionPlan& plan :
         {PrecisionPlan::fp32(), PrecisionPlan::uniform(Format::integer(4), Format::integer(8))}) {
      const Attention attention = Attention::create("attention", kHeads, causal);
      const auto run = [&](bool cut) {
        Bench bench;
        Pass pass = bench.pass(plan);
        const Var x = pass.tape.variable(qkv);
        const auto part = [&](std::int64_t which) {
          return slice(pass, x, 1, which * kWidth, (which + 1) * kWidth);
        };
        const Var y = cut ? attention(pass, part(0), part(1), part(2), lengths, lengths)
                          : attention(pass, x, lengths);
        const Tensor value = pass.tape[y];
        static_cast<void>(pass.tape.backward(dot(pass, y, g)));
        return std::pair(value, pass.tape.gradient_of(x));
      };
      CHECK(run(true) == run(false));
    }
  }
}

TEST_CASE(
    "cross-attention: the gradients agree with central differences, and only products that are "
    "needed are charged") {
  const std::vector<std::int64_t> queries{2, 3, 3}, keys{4, 1, 1};
  const Tensor q = random_tensor({8, kWidth}, Key(1)), k = random_tensor({6, kWidth}, Key(2)),
               v = random_tensor({6, kWidth}, Key(3));
  const Attention attention = Attention::create("attention", kHeads, false);
  Bench bench;
  check_gradients(bench, {q, k, v}, 30, [&](Pass& pass, const std::vector<Var>& x) {
    return attention(pass, x[0], x[1], x[2], queries, keys);
  });

  constexpr int macs = (2 * 4 + 3 * 1 + 3 * 1) * kWidth;
  struct Case {
    const char* why;
    bool q, k, v;
    int of_scores, of_values;  // products of these sites
  };
  for (const Case& c :
       {Case{"all", true, true, true, 3, 3}, Case{"q alone", true, false, false, 2, 2},
        Case{"k alone", false, true, false, 2, 2}, Case{"v alone", false, false, true, 1, 2}}) {
    CAPTURE(c.why);
    bench.ledger = {};
    Pass pass = bench.pass();
    const auto input = [&](bool wanted, const Tensor& x) {
      return wanted ? pass.tape.variable(x) : pass.tape.constant(x);
    };
    const Var y = attention(pass, input(c.q, q), input(c.k, k), input(c.v, v), queries, keys);
    static_cast<void>(pass.tape.backward(dot(pass, y, Tensor::filled({8, kWidth}, 1.0f))));
    const auto charged = [&](std::size_t site) {
      uint128 sum = 0;
      for (const CostLedger::Cell& cell : bench.ledger.rows().at(site).cells) sum += cell.macs;
      return sum;
    };
    CHECK(charged(0) == static_cast<uint128>(c.of_scores * macs));
    CHECK(charged(1) == static_cast<uint128>(c.of_values * macs));
  }

  Pass pass = bench.pass();
  const Var vq = pass.tape.constant(q), vk = pass.tape.constant(k), vv = pass.tape.constant(v);
  CHECK_THROWS_AS(attention(pass, vq, vk, vq, queries, keys), ShapeError);
  CHECK_THROWS_AS(attention(pass, vq, vk, vv, queries, std::array<std::int64_t, 2>{5, 1}),
                  ShapeError);
  CHECK_THROWS_AS(attention(pass, vq, vk, vv, queries, queries), ShapeError);
  CHECK_THROWS_WITH_AS(Attention::create("a", kHeads, true)(pass, vq, vk, vv, queries, keys),
                       "[a.qk] expected as many keys as queries, since it is causal, got 2 queries "
                       "and 4 keys",
                       ShapeError);
}
