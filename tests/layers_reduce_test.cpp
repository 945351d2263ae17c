#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/sums.h"
#include "layers/reduce.h"
#include "op_checks.h"

using namespace ebb;
using namespace ebb::test;

TEST_CASE(
    "sums and means over an axis and over all are their definitions in double, rounded once, and "
    "so are their gradients") {
  struct Case {
    Shape x;
    int axis;
    std::int64_t outer, extent, inner;
    Shape result;
  };
  const Case cases[] = {{{300, 3}, 0, 1, 300, 3, {3}},    {{2, 70, 5}, 1, 2, 70, 5, {2, 5}},
                        {{4, 37}, -1, 4, 37, 1, {4}},     {{6}, 0, 1, 6, 1, {}},
                        {{3, 1, 2}, -2, 3, 1, 2, {3, 2}}, {{0, 4}, 1, 0, 4, 1, {0}}};
  for (const bool mean_of : {false, true}) {
    for (const Case& c : cases) {
      CAPTURE(to_text(c.x));
      CAPTURE(c.axis);
      Bench bench;
      const Tensor x = random_tensor(c.x, Key(1)), g = gradient_for(c.result);
      const Op op = [&](Pass& pass, const std::vector<Var>& v) {
        return mean_of ? mean(pass, v[0], c.axis) : sum(pass, v[0], c.axis);
      };
      const OpResult result = run_op(bench, {x}, op);
      REQUIRE(result.y.shape() == c.result);
      const double n = mean_of ? static_cast<double>(c.extent) : 1.0;
      const auto total = [&](std::int64_t i, bool magnitude) {
        double sum = 0;
        for (std::int64_t k = 0; k < c.extent; ++k) {
          const double term = double{x[(i / c.inner * c.extent + k) * c.inner + i % c.inner]} / n;
          sum += magnitude ? std::abs(term) : term;
        }
        return sum;
      };
      require_elements(
          result.y, [&](std::int64_t i) { return total(i, false); },
          [&](std::int64_t i) {
            return kUnit * std::abs(total(i, false)) +
                   2 * 0x1p-53 * static_cast<double>(c.extent + 1) * total(i, true);
          });
      for (std::int64_t i = 0; i < x.size(); ++i)
        REQUIRE(
            result.by_input[0][i] ==
            static_cast<float>(double{g[i / (c.extent * c.inner) * c.inner + i % c.inner]} / n));
      check_gradients(bench, {x}, 2, op);
    }
    Bench bench;
    for (const int axis : {0, 1, 2}) {
      check_bits(bench, {random_tensor({30, 70, 20}, Key(2))},
                 [&](Pass& pass, const std::vector<Var>& v) {
                   return mean_of ? mean(pass, v[0], axis) : sum(pass, v[0], axis);
                 });
    }
    const Op all = [&](Pass& pass, const std::vector<Var>& v) {
      return mean_of ? mean(pass, v[0]) : sum(pass, v[0]);
    };
    check_bits(bench, {random_tensor({30, 70, 20}, Key(2))}, all);
    check_gradients(bench, {random_tensor({3, 5}, Key(3))}, 2, all);
  }
}

TEST_CASE("sums have the orders of the fixed-order sums, bit for bit") {
  Bench bench;
  Pass pass = bench.pass();
  const Tensor x = random_tensor({2, 200, 33}, Key(1), 1e4);
  const Var in = pass.tape.constant(x);
  const Tensor middle = pass.tape[sum(pass, in, 1)], last = pass.tape[sum(pass, in, 2)];
  for (std::int64_t i = 0; i < 2; ++i) {
    const std::vector<double> columns = column_sums({x.data() + i * 200 * 33, 200, 33, 33});
    for (std::int64_t j = 0; j < 33; ++j)
      CHECK(middle[i * 33 + j] == static_cast<float>(columns[static_cast<std::size_t>(j)]));
  }
  for (std::int64_t i = 0; i < 400; ++i)
    CHECK(last[i] == static_cast<float>(
                         chained_sum(33, [&](std::int64_t j) { return double{x[i * 33 + j]}; })));
  CHECK(pass.tape[sum(pass, in)].item() == static_cast<float>(sum_of(x.values())));
}

TEST_CASE("an axis that is not there is refused, and the mean of nothing") {
  Bench bench;
  Pass pass = bench.pass();
  const auto zeros = [&](const Shape& shape) { return pass.tape.constant(Tensor::zeros(shape)); };
  struct Refused {
    const char* why;
    std::function<void()> call;
  };
  const Refused refused[] = {{"axis too high",
                              [&] {
                                sum(pass, zeros({2, 3}), 2);
                              }},
                             {"axis too low",
                              [&] {
                                mean(pass, zeros({2, 3}), -3);
                              }},
                             {"axis of a scalar", [&] { sum(pass, zeros({}), 0); }},
                             {"mean of nothing", [&] { mean(pass, zeros({0})); }},
                             {"mean over nothing", [&] {
                                mean(pass, zeros({2, 0}), 1);
                              }}};
  for (const Refused& r : refused) {
    CAPTURE(std::string(r.why));
    CHECK_THROWS_AS(r.call(), ShapeError);
  }
  CHECK(pass.tape[sum(pass, zeros({0}))].item() == 0.0f);
  CHECK(pass.tape[sum(pass, zeros({2, 0}), 1)] == Tensor::zeros({2}));
  CHECK(pass.tape[sum(pass, zeros({0, 2}), 0)] == Tensor::zeros({2}));
}
