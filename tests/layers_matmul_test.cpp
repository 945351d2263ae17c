#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/matmul.h"
#include "op_checks.h"
#include "replay.h"

using namespace ebb;
using namespace ebb::test;

namespace {

const Site kSite{"product"};

Var product(Pass& pass, const std::vector<Var>& x) { return matmul(pass, kSite, x[0], x[1]); }

/// Rows first .. first + count of a matrix with `cols` columns, as a tensor of its own.
Tensor rows_of(const Tensor& x, std::int64_t first, std::int64_t count, std::int64_t cols) {
  return Tensor::from({count, cols}, x.values().subspan(static_cast<std::size_t>(first * cols),
                                                        static_cast<std::size_t>(count * cols)));
}

struct Shapes {
  const char* why;
  Shape a, b, y;
  std::int64_t count, m, k, n;  ///< `count` products [m, k] x [k, n]
};
const Shapes kShapes[] = {
    {"two matrices", {5, 7}, {7, 3}, {5, 3}, 1, 5, 7, 3},
    {"a batch", {4, 5, 7}, {4, 7, 3}, {4, 5, 3}, 4, 5, 7, 3},
    {"two leading axes", {2, 3, 1, 6}, {2, 3, 6, 4}, {2, 3, 1, 4}, 6, 1, 6, 4},
    {"one right matrix for a batch", {3, 2, 5}, {5, 4}, {3, 2, 4}, 1, 6, 5, 4}};

}  // namespace

TEST_CASE(
    "matmul and both gradients are fake quantization of its codes, each encoded once, for every "
    "mixture of formats") {
  for (const Shapes& s : kShapes) {
    CAPTURE(std::string(s.why));
    for (const NamedPlan& named : replay_plans("product")) {
      CAPTURE(named.name);
      Bench bench;
      const Tensor a = random_tensor(s.a, Key(1)), b = random_tensor(s.b, Key(2)),
                   g = gradient_for(s.y);
      Pass pass = bench.pass(named.plan);
      const Operand qa = operand_of(pass, a.matrix(), kSite, Role::activation),
                    qb = operand_of(pass, b.matrix(), kSite, Role::activation,
                                    Granularity::per_tensor, 1),
                    qg = operand_of(pass, g.matrix(), kSite, Role::gradient);
      const OpResult result = run_op(bench, {a, b}, product, named.plan);
      REQUIRE(result.y.shape() == s.y);
      for (std::int64_t i = 0; i < s.count; ++i) {
        const auto part = [&](const Operand& x) {
          return x.rows(i * x.rows() / s.count, x.rows() / s.count);
        };
        // Which operand decodes beside a float32 one is decided before the cut, which leaves the
        // values alone.
        CHECK(checked_product(part(qa), part(qb)) == rows_of(result.y, i * s.m, s.m, s.n));
        CHECK(checked_product(part(qg), part(qb).transposed()) ==
              rows_of(result.by_input[0], i * s.m, s.m, s.k));
        CHECK(checked_product(part(qa).transposed(), part(qg)) ==
              rows_of(result.by_input[1], i * s.k, s.k, s.n));
      }
    }
  }
}

TEST_CASE(
    "matmul's gradients agree with central differences, also by a value that it multiplies by "
    "itself") {
  for (const Shapes& s : kShapes) {
    Bench bench;
    check_gradients(bench, {random_tensor(s.a, Key(1)), random_tensor(s.b, Key(2))},
                    static_cast<double>(s.k), product);
  }
  Bench bench;
  check_gradients(
      bench, {random_tensor({4, 4}, Key(3))}, 8,
      [](Pass& pass, const std::vector<Var>& x) { return matmul(pass, kSite, x[0], x[0]); });
}

TEST_CASE("matmul has the same bits at every SIMD level and for any number of threads") {
  for (const int bits : {4, 8, 16, 32}) {
    CAPTURE(bits);
    const Format format = bits == 32 ? Format::fp32() : Format::integer(bits);
    Bench bench;
    const PrecisionPlan plan = PrecisionPlan::uniform(format, format);
    check_bits(bench, {random_tensor({6, 33, 70}, Key(1)), random_tensor({6, 70, 17}, Key(2))},
               product, plan);
    check_bits(bench, {random_tensor({300, 70}, Key(1)), random_tensor({70, 17}, Key(2))}, product,
               plan);
  }
}

TEST_CASE(
    "matmul charges activations times activations, and nothing for a gradient that nobody wants") {
  Bench bench;
  Pass pass = bench.pass(PrecisionPlan::uniform(Format::integer(4), Format::integer(8)));
  const Var a = pass.tape.variable(random_tensor({2, 5, 7}, Key(1))),
            b = pass.tape.constant(random_tensor({2, 7, 3}, Key(2)));
  const Var y = matmul(pass, kSite, a, b);
  pass.tape.backward(dot(pass, y, gradient_for({2, 5, 3})));
  CHECK(bench.ledger.total_bit_ops() == 2 * 5 * 7 * 3 * (4 * 4 + 8 * 4));
}

TEST_CASE("matrices without elements have products: sums of no terms are 0") {
  for (const int bits : {8, 32}) {
    const Format format = bits == 32 ? Format::fp32() : Format::integer(bits);
    Bench bench;
    Pass pass = bench.pass(PrecisionPlan::uniform(format, format));
    const auto zeros = [&](const Shape& shape) { return pass.tape.variable(Tensor::zeros(shape)); };
    CHECK(pass.tape[matmul(pass, kSite, zeros({2, 0}), zeros({0, 3}))] == Tensor::zeros({2, 3}));
    CHECK(pass.tape.shape(matmul(pass, kSite, zeros({0, 2, 5}), zeros({0, 5, 3}))) ==
          Shape{0, 2, 3});
    CHECK(pass.tape.shape(matmul(pass, kSite, zeros({0, 5}), zeros({5, 3}))) == Shape{0, 3});
  }
}

TEST_CASE("matmul refuses transforms, which are for linear layers") {
  PrecisionPlan plan = PrecisionPlan::uniform(Format::integer(8), Format::integer(8));
  plan.base.transforms[0] = Transform::hadamard16;
  Bench bench;
  Pass pass = bench.pass(plan);
  const Var a = pass.tape.constant(random_tensor({3, 4}, Key(1))),
            b = pass.tape.constant(random_tensor({4, 2}, Key(2)));
  CHECK_THROWS_WITH_AS(matmul(pass, {"mix"}, a, b),
                       doctest::Contains("[mix] forward: only products of linear layers"),
                       ConfigError);
}

TEST_CASE("matmul refuses shapes that do not fit") {
  Bench bench;
  Pass pass = bench.pass();
  const std::pair<Shape, Shape> refused[] = {{{3}, {3, 2}},       {{2, 3}, {3}},
                                             {{2, 3}, {2, 3}},    {{4, 2, 3}, {5, 3, 2}},
                                             {{2, 3}, {4, 3, 2}}, {{1, 4, 2, 3}, {4, 3, 2}}};
  for (const auto& shapes : refused) {
    CAPTURE(to_text(shapes.first));
    CAPTURE(to_text(shapes.second));
    const Var left = pass.tape.constant(Tensor::zeros(shapes.first)),
              right = pass.tape.constant(Tensor::zeros(shapes.second));
    CHECK_THROWS_AS(matmul(pass, kSite, left, right), ShapeError);
  }
}
