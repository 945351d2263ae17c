#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "core/error.h"
#include "core/sums.h"
#include "layers/attention.h"
#include "layers/functions.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

constexpr std::int64_t kRows = 2, kLength = 5, kHeads = 3, kDepth = 4, kWidth = kHeads * kDepth;

const std::vector<std::int64_t> kLengths(kRows, kLength);

PrecisionPlan int_plan(int forward, int gradient) {
  return PrecisionPlan::uniform(Format::integer(forward), Format::integer(gradient));
}

ConstMatrix part(const Tensor& qkv, std::int64_t which) {
  return {qkv.data() + which * kWidth, kRows * kLength, kWidth, 3 * kWidth};
}

/// One row and head of an operand [rows * length, width], or of [rows * heads * length, length].
using Cut = std::function<Operand(const Operand&, std::int64_t row, std::int64_t h)>;
Operand head(const Operand& x, std::int64_t row, std::int64_t h) {
  return x.rows(row * kLength, kLength).columns(h * kDepth, kDepth);
}
Operand square(const Operand& x, std::int64_t row, std::int64_t h) {
  return x.rows((row * kHeads + h) * kLength, kLength);
}
Operand head_t(const Operand& x, std::int64_t row, std::int64_t h) {
  return head(x, row, h).transposed();
}
Operand square_t(const Operand& x, std::int64_t row, std::int64_t h) {
  return square(x, row, h).transposed();
}

/// The products of all rows and heads, beneath each other: [rows * heads * length, ...].
Tensor checked_products(const Operand& left, const Cut& cut_left, const Operand& right,
                        const Cut& cut_right) {
  const auto kinds = same_kind(left, right);
  std::vector<float> all;
  std::int64_t cols = 0;
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t h = 0; h < kHeads; ++h) {
      const Tensor one =
          checked_product(cut_left(kinds.first, row, h), cut_right(kinds.second, row, h));
      all.insert(all.end(), one.values().begin(), one.values().end());
      cols = one.shape()[1];
    }
  }
  return Tensor::from({kRows * kHeads * kLength, cols}, all);
}

/// True if columns first .. first + width of x hold the heads of `by_head`, [rows * heads * length,
/// depth], side by side.
bool holds_heads(const Tensor& x, std::int64_t first, const Tensor& by_head) {
  const std::int64_t stride = x.shape()[1];
  for (std::int64_t i = 0; i < by_head.size(); ++i) {
    const std::int64_t e = i % kDepth, t = i / kDepth % kLength,
                       h = i / (kDepth * kLength) % kHeads, row = i / (kDepth * kLength * kHeads);
    if (x[(row * kLength + t) * stride + first + h * kDepth + e] != by_head[i]) return false;
  }
  return true;
}

const double kInverseRoot = 1.0 / std::sqrt(double{kDepth});

/// Softmax by row of scores / sqrt(d).
Tensor replay_softmax(const Tensor& scores, bool causal) {
  Tensor p = Tensor::zeros(scores.shape());
  for (std::int64_t i = 0; i < p.shape()[0]; ++i) {
    const std::int64_t seen = causal ? i % kLength + 1 : kLength;
    const float* const s = scores.data() + i * kLength;
    std::array<float, kLength> x{};
    for (std::int64_t j = 0; j < seen; ++j)
      x[static_cast<std::size_t>(j)] = s[j] * static_cast<float>(kInverseRoot);
    const float largest = *std::max_element(x.begin(), x.begin() + seen);
    exp_rows(x.data(), seen, largest, x.data(), Simd::scalar);
    const double sum =
        chained_sum(seen, [&](std::int64_t j) { return double{x[static_cast<std::size_t>(j)]}; });
    for (std::int64_t j = 0; j < seen; ++j)
      p[i * kLength + j] = x[static_cast<std::size_t>(j)] * static_cast<float>(1.0 / sum);

    // Twice rounded (the root and the product), an argument is off by 2 |s| / sqrt(d) units, the
    // largest one too, their difference is rounded, and exp is off by 2 (layers/functions.h): so
    // many units is e off relatively. The sum is so at the most by the worst of its terms; then it
    // is rounded and so is the product with it.
    const double most = *std::max_element(s, s + seen) * kInverseRoot;
    double total = 0, worst = 0;
    const auto off = [&](std::int64_t j) {
      const double a = s[j] * kInverseRoot;
      return 2 * std::abs(a) + 2 * std::abs(most) + std::abs(a - most) + 2;
    };
    for (std::int64_t j = 0; j < seen; ++j) {
      total += std::exp(s[j] * kInverseRoot - most);
      worst = std::max(worst, off(j));
    }
    for (std::int64_t j = 0; j < seen; ++j) {
      const double want = std::exp(s[j] * kInverseRoot - most) / total;
      require_within(double{p[i * kLength + j]}, want, kUnit * (off(j) + worst + 2) * want);
    }
  }
  return p;
}

/// Gradients of probabilities become those of scores.
Tensor replay_softmax_gradient(const Tensor& p, const Tensor& of_p) {
  Tensor gs = Tensor::zeros(p.shape());
  for (std::int64_t i = 0; i < p.shape()[0]; ++i) {
    const float *const pi = p.data() + i * kLength, *const gi = of_p.data() + i * kLength;
    const double exact_mean =
        chained_sum(kLength, [=](std::int64_t j) { return double{gi[j]} * double{pi[j]}; });
    const auto mean = static_cast<float>(exact_mean);
    double magnitude = 0;
    for (std::int64_t j = 0; j < kLength; ++j) magnitude += std::abs(double{gi[j]} * double{pi[j]});
    for (std::int64_t j = 0; j < kLength; ++j) {
      const float g = gs[i * kLength + j] =
          pi[j] * (gi[j] - mean) * static_cast<float>(kInverseRoot);
      // The mean is rounded (and summed in double in some order), and the difference, the root and
      // two products.
      const double factor = double{pi[j]} * kInverseRoot, apart = double{gi[j]} - exact_mean;
      require_within(double{g}, factor * apart,
                     factor * (kUnit * (std::abs(exact_mean) + 4 * std::abs(apart)) +
                               2 * kLength * 0x1p-53 * magnitude));
    }
  }
  return gs;
}

}  // namespace

TEST_CASE(
    "attention and its gradients are fake quantization of its codes, stage by stage, for every "
    "mixture of formats") {
  for (const NamedPlan& named : replay_plans("block0.attention.av")) {
    for (const bool causal : {true, false}) {
      CAPTURE(named.name);
      CAPTURE(causal);
      Bench bench;
      Pass pass = bench.pass(named.plan, 5);
      const Attention attention = Attention::create("block0.attention", kHeads, causal);
      const Tensor qkv = random_tensor({kRows * kLength, 3 * kWidth}, Key(1)),
                   g = random_tensor({kRows * kLength, kWidth}, Key(2));
      const Var x = pass.tape.variable(qkv);
      const Var out = attention(pass, x, kLengths);
      const Tensor y = pass.tape[out];
      static_cast<void>(pass.tape.backward(dot(pass, out, g)));
      const Tensor& gx = pass.tape.gradient_of(x);

      const Site &qk = attention.scores, &av = attention.values;
      const Operand q = operand_of(pass, part(qkv, 0), qk, Role::activation),
                    k = operand_of(pass, part(qkv, 1), qk, Role::weight),
                    v = operand_of(pass, part(qkv, 2), av, Role::weight),
                    gy = operand_of(pass, g.matrix(), av, Role::gradient);
      const Tensor p = replay_softmax(checked_products(q, head, k, head_t), causal);
      const Operand by_row =
                        operand_of(pass, p.matrix(), av, Role::activation, Granularity::per_row),
                    whole = operand_of(pass, p.matrix(), av, Role::activation);
      CHECK(holds_heads(y, 0, checked_products(by_row, square, v, head)));

      const Tensor gs = replay_softmax_gradient(p, checked_products(gy, head, v, head_t));
      const Operand qs = operand_of(pass, gs.matrix(), qk, Role::gradient);
      CHECK(holds_heads(gx, 0, checked_products(qs, square, k, head)));
      CHECK(holds_heads(gx, kWidth, checked_products(qs, square_t, q, head)));
      CHECK(holds_heads(gx, 2 * kWidth, checked_products(whole, square_t, gy, head)));
    }
  }
}

TEST_CASE(
    "rotary positions turn pairs of queries and keys by t 10000^(-2i/d), and their gradients "
    "back") {
  Bench bench;
  Pass pass = bench.pass(int_plan(8, 8));  // nothing of it is quantized
  const Tensor qkv = random_tensor({kRows * kLength, 3 * kWidth}, Key(1)),
               g = random_tensor(qkv.shape(), Key(2));
  const Var x = pass.tape.variable(qkv);
  const Var out = rotary(pass, x, kLengths, kHeads);
  const Tensor y = pass.tape[out];
  static_cast<void>(pass.tape.backward(dot(pass, out, g)));
  const auto check = [](const Tensor& from, const Tensor& to, double sign) {
    for (std::int64_t i = 0; i < from.size(); i += 2) {
      const std::int64_t t = i / (3 * kWidth) % kLength, col = i % (3 * kWidth), e = col % kDepth;
      const double angle =
          col >= 2 * kWidth
              ? 0.0
              : sign * static_cast<double>(t) * std::pow(10000.0, -static_cast<double>(e) / kDepth);
      const double a = from[i], b = from[i + 1], c = std::cos(angle), s = std::sin(angle);
      // Sine, cosine, both products and their sum are rounded; the angle's own errors in double are
      // below 2^-48.
      const auto within = [&](double got, double one, double two) {
        require_within(got, one + two,
                       kUnit * (2 * std::abs(one) + 2 * std::abs(two) + std::abs(one + two)) +
                           0x1p-48 * (std::abs(a) + std::abs(b)));
      };
      within(to[i], a * c, -b * s);
      within(to[i + 1], a * s, b * c);
    }
  };
  check(qkv, y, 1);
  check(g, pass.tape.gradient_of(x), -1);
}

TEST_CASE("the gradients of attention and of rotary positions agree with central differences") {
  Bench bench;
  for (const bool causal : {true, false}) {
    check_gradients(bench, {random_tensor({kRows * kLength, 3 * kWidth}, Key(1))}, 30,
                    [&](Pass& pass, const std::vector<Var>& x) {
                      return Attention::create("attention", kHeads, causal)(
                          pass, rotary(pass, x[0], kLengths, kHeads), kLengths);
                    });
  }
}

TEST_CASE("a causal attention does not look ahead, and rotary scores depend on distances alone") {
  Bench bench;
  Pass pass = bench.pass();
  const Attention attention = Attention::create("attention", kHeads, true);
  Tensor qkv = random_tensor({kRows * kLength, 3 * kWidth}, Key(1));
  const Tensor before = pass.tape[attention(pass, pass.tape.constant(qkv), kLengths)];
  for (std::int64_t i = 3 * 3 * kWidth; i < kLength * 3 * kWidth; ++i)
    qkv[i] += 1.0f;  // tokens 3 and 4 of the first row
  const Tensor after = pass.tape[attention(pass, pass.tape.constant(qkv), kLengths)];
  for (std::int64_t i = 0; i < before.size(); ++i)
    CHECK((before[i] == after[i]) == (i / kWidth < 3 || i / kWidth >= kLength));

  Tensor same = Tensor::uninitialized({kLength, 3 * kWidth});
  for (std::int64_t i = 0; i < same.size(); ++i)
    same[i] = static_cast<float>(Key(2).normal(static_cast<std::uint64_t>(i % (3 * kWidth))));
  const Tensor turned =
      pass.tape[rotary(pass, pass.tape.constant(same), equal_lengths(kLength, 1), kHeads)];
  const auto score = [&](std::int64_t t, std::int64_t u) {
    double sum = 0;
    for (std::int64_t e = 0; e < kDepth; ++e)
      sum += double{turned[t * 3 * kWidth + e]} * double{turned[u * 3 * kWidth + kWidth + e]};
    return sum;
  };
  CHECK(std::abs(score(1, 0) - score(4, 3)) < 1e-5);
  CHECK(std::abs(score(3, 1) - score(4, 2)) < 1e-5);
  CHECK(std::abs(score(1, 0) - score(4, 1)) > 1e-3);
  for (std::int64_t i = 2 * kWidth; i < 3 * kWidth; ++i)
    CHECK(turned[4 * 3 * kWidth + i] == same[4 * 3 * kWidth + i]);
}

TEST_CASE("attention charges its products by site and refuses shapes that do not fit") {
  Bench bench;
  Pass pass = bench.pass(int_plan(3, 8));
  const Attention attention = Attention::create("block3.attention", kHeads, true);
  const Var x = pass.tape.variable(random_tensor({kRows * kLength, 3 * kWidth}, Key(1)));
  const Var y = attention(pass, x, kLengths);
  static_cast<void>(
      pass.tape.backward(dot(pass, y, random_tensor({kRows * kLength, kWidth}, Key(2)))));
  REQUIRE(bench.ledger.rows().size() == 2);
  constexpr std::uint64_t macs = kRows * kHeads * kLength * kLength * kDepth;
  for (const auto& row : bench.ledger.rows()) {
    CHECK((row.site.name == "block3.attention.qk" || row.site.name == "block3.attention.av"));
    CHECK(row.cells[0] == CostLedger::Cell{macs, macs * 9});
    CHECK(row.cells[1] == CostLedger::Cell{macs, macs * 24});
    CHECK(row.cells[2] == CostLedger::Cell{macs, macs * 24});
  }
  CHECK_THROWS_AS(attention(pass, x, std::array<std::int64_t, 2>{5, 4}), ShapeError);
  CHECK_THROWS_AS(Attention::create("a", 5, true)(pass, x, kLengths), ShapeError);
  CHECK_THROWS_AS(rotary(pass, x, kLengths, 4), ShapeError);
}
