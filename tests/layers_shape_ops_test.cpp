#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "layers/shape_ops.h"
#include "op_checks.h"

using namespace ebb;
using namespace ebb::test;

namespace {

/// Element i of the result is element source(i) of the concatenated inputs.
struct Case {
  std::string name;
  std::vector<Shape> inputs;
  Op op;
  Shape result;
  std::function<std::int64_t(std::int64_t)> source;
};

std::vector<Case> cases() {
  const auto same = [](std::int64_t i) { return i; };
  return {
      {"flatten",
       {{2, 3, 4}},
       [](Pass& p, const std::vector<Var>& x) { return flatten(p, x[0]); },
       {2, 12},
       same},
      {"reshape",
       {{2, 3, 4}},
       [](Pass& p, const std::vector<Var>& x) {
         return reshape(p, x[0], {4, 1, 6});
       },
       {4, 1, 6},
       same},
      {"reshape to a scalar",
       {{1, 1}},
       [](Pass& p, const std::vector<Var>& x) { return reshape(p, x[0], {}); },
       {},
       same},
      {"transpose",
       {{2, 3, 4}},
       [](Pass& p, const std::vector<Var>& x) { return transpose(p, x[0]); },
       {2, 4, 3},
       [](std::int64_t i) { return i / 12 * 12 + i % 3 * 4 + i / 3 % 4; }},
      {"transpose of two named axes",
       {{2, 3, 4}},
       [](Pass& p, const std::vector<Var>& x) { return transpose(p, x[0], 0, 1); },
       {3, 2, 4},
       [](std::int64_t i) { return i / 4 % 2 * 12 + i / 8 * 4 + i % 4; }},
      {"permute",
       {{2, 3, 4}},
       [](Pass& p, const std::vector<Var>& x) {
         return permute(p, x[0], {2, 0, -2});
       },
       {4, 2, 3},
       [](std::int64_t i) { return i / 3 % 2 * 12 + i % 3 * 4 + i / 6; }},
      {"permute of a scalar",
       {{}},
       [](Pass& p, const std::vector<Var>& x) { return permute(p, x[0], {}); },
       {},
       same},
      {"permute of nothing",
       {{0, 3}},
       [](Pass& p, const std::vector<Var>& x) {
         return permute(p, x[0], {1, 0});
       },
       {3, 0},
       same},
      {"slice of the first axis",
       {{5, 3}},
       [](Pass& p, const std::vector<Var>& x) { return slice(p, x[0], 0, 1, 3); },
       {2, 3},
       [](std::int64_t i) { return i + 3; }},
      {"slice of a middle axis",
       {{2, 5, 3}},
       [](Pass& p, const std::vector<Var>& x) { return slice(p, x[0], -2, 2, 5); },
       {2, 3, 3},
       [](std::int64_t i) { return i / 9 * 15 + i % 9 + 6; }},
      {"slice of nothing",
       {{4}},
       [](Pass& p, const std::vector<Var>& x) { return slice(p, x[0], 0, 4, 4); },
       {0},
       same},
      {"cat of rows",
       {{1, 2}, {3, 2}},
       [](Pass& p, const std::vector<Var>& x) { return cat(p, x, 0); },
       {4, 2},
       same},
      {"cat of columns",
       {{2, 1}, {2, 3}, {2, 0}},
       [](Pass& p, const std::vector<Var>& x) { return cat(p, x, -1); },
       {2, 4},
       [](std::int64_t i) { return i % 4 == 0 ? i / 4 : 2 + i / 4 * 3 + i % 4 - 1; }},
  };
}

}  // namespace

TEST_CASE("rearranged values and their gradients are the elements that the definitions name") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    Bench bench;
    std::vector<Tensor> inputs;
    std::vector<float> elements;
    for (const Shape& shape : c.inputs) {
      inputs.push_back(random_tensor(shape, Key(inputs.size())));
      elements.insert(elements.end(), inputs.back().values().begin(), inputs.back().values().end());
    }
    const OpResult result = run_op(bench, inputs, c.op);
    REQUIRE(result.y.shape() == c.result);
    std::vector<float> gradients(elements.size());
    const Tensor g = gradient_for(c.result);
    for (std::int64_t i = 0; i < result.y.size(); ++i) {
      const auto from = static_cast<std::size_t>(c.source(i));
      CHECK(result.y[i] == elements[from]);
      gradients[from] = g[i];
    }
    std::vector<float> got;
    for (const Tensor& by : result.by_input)
      got.insert(got.end(), by.values().begin(), by.values().end());
    CHECK(got == gradients);
    check_gradients(bench, inputs, 1, c.op);
  }
}

TEST_CASE(
    "rearranging has no bits of its own, however many threads copy, and a value may be used "
    "twice") {
  Bench bench;
  const Tensor x = random_tensor({40, 30, 20}, Key(1));
  const Op op = [](Pass& p, const std::vector<Var>& v) {
    return cat(p,
               {permute(p, v[0], {1, 0, 2}), slice(p, transpose(p, v[0], 0, 1), 1, 3, 11),
                permute(p, v[0], {1, 0, 2})},
               1);
  };
  CHECK(run_op(bench, {x}, op).y.shape() == Shape{30, 88, 20});
  check_bits(bench, {x}, op);
  check_gradients(bench, {random_tensor({2, 3}, Key(2))}, 2,
                  [](Pass& p, const std::vector<Var>& v) {
                    return cat(p, {v[0], v[0]}, 1);
                  });
}

TEST_CASE("shapes and axes that do not fit are refused") {
  Bench bench;
  Pass pass = bench.pass();
  const auto zeros = [&](const Shape& shape) { return pass.tape.constant(Tensor::zeros(shape)); };
  const Var x = zeros({2, 3});
  struct Refused {
    const char* why;
    std::function<void()> call;
  };
  const Refused refused[] = {{"flatten of a scalar", [&] { flatten(pass, zeros({})); }},
                             {"reshape to another size", [&] { reshape(pass, x, {7}); }},
                             {"transpose of a vector", [&] { transpose(pass, zeros({3})); }},
                             {"permute with an axis missing", [&] { permute(pass, x, {0}); }},
                             {"permute with an axis twice",
                              [&] {
                                permute(pass, x, {1, -1});
                              }},
                             {"permute with an axis too high",
                              [&] {
                                permute(pass, x, {0, 2});
                              }},
                             {"slice beyond the end", [&] { slice(pass, x, 1, 1, 4); }},
                             {"slice backwards", [&] { slice(pass, x, 1, 2, 1); }},
                             {"slice before the beginning", [&] { slice(pass, x, 1, -1, 1); }},
                             {"slice along an axis too low", [&] { slice(pass, x, -3, 0, 1); }},
                             {"cat of nothing", [&] { cat(pass, {}, 0); }},
                             {"cat of other extents",
                              [&] {
                                cat(pass, {x, zeros({2, 4})}, 0);
                              }},
                             {"cat of other ranks",
                              [&] {
                                cat(pass, {x, zeros({2})}, 0);
                              }},
                             {"cat along an axis too high", [&] {
                                cat(pass, {x, x}, 2);
                              }}};
  for (const Refused& r : refused) {
    CAPTURE(std::string(r.why));
    CHECK_THROWS_AS(r.call(), ShapeError);
  }
}
