#include <doctest/doctest.h>

#include <vector>

#include "core/error.h"
#include "core/tape.h"

using namespace ebb;

namespace {

Tensor vector_of(std::initializer_list<float> values) {
  return Tensor::from({static_cast<std::int64_t>(values.size())}, std::vector<float>(values));
}

/// z_i = x_i y_i, whose gradients are g_i y_i and g_i x_i.
Var multiply(Tape& tape, Var x, Var y) {
  const auto product = [](const Tensor& a, const Tensor& b) {
    Tensor c = a;
    for (std::int64_t i = 0; i < a.size(); ++i) c[i] = a[i] * b[i];
    return c;
  };
  const Tensor a = tape[x], b = tape[y];
  return tape.record(product(a, b), {x, y}, [=](const Tensor& g, Adjoints& grads) {
    if (grads.wants(x)) grads.add(x, product(g, b));
    if (grads.wants(y)) grads.add(y, product(g, a));
  });
}

Var total(Tape& tape, Var x) {
  float sum = 0;
  for (const float v : tape[x].values()) sum += v;
  return tape.record(Tensor::scalar(sum), {x}, [x, shape = tape.shape(x)](const Tensor& g, Adjoints& grads) {
    grads.add(x, Tensor::filled(shape, g.item()));
  });
}

}  // namespace

TEST_CASE("a value used twice gets the sum of both gradients") {
  ParamStore params;
  const ParamId w = params.add("w", vector_of({1, -2, 3}));
  Tape tape(params);
  const Var x = tape.parameter(w);
  const Var loss = total(tape, multiply(tape, multiply(tape, x, x), x));  // sum of x^3
  CHECK(tape[loss].item() == 1 - 8 + 27);
  const Gradients gradients = tape.backward(loss);
  CHECK(gradients.at(0) == vector_of({3, 12, 27}));
}

TEST_CASE("the same parameter is one leaf however often it is asked for") {
  ParamStore params;
  const ParamId w = params.add("w", vector_of({2, 5}));
  Tape tape(params);
  CHECK(tape.parameter(w) == tape.parameter(w));
  const Gradients gradients = tape.backward(total(tape, multiply(tape, tape.parameter(w), tape.parameter(w))), 10.0f);
  CHECK(gradients.at(0) == vector_of({40, 100}));
}

TEST_CASE("constants want no gradient, and what only depends on them records no backward function") {
  ParamStore params;
  const ParamId w = params.add("w", vector_of({4}));
  const ParamId unused = params.add("unused", vector_of({1}));
  Tape tape(params);
  const Var c = tape.constant(vector_of({3}));
  bool called = false;
  const Var d = tape.record(vector_of({9}), {c}, [&](const Tensor&, Adjoints&) { called = true; });
  const Var v = tape.variable(vector_of({2}));
  const Gradients gradients = tape.backward(total(tape, multiply(tape, multiply(tape, tape.parameter(w), d), v)));
  CHECK_FALSE(called);
  CHECK(gradients.at(0) == vector_of({18}));
  CHECK(gradients.at(static_cast<std::size_t>(unused.index)).size() == 0);
  CHECK(tape.gradient_of(v) == vector_of({36}));
}

TEST_CASE("only a scalar can be swept, and gradients must have their value's shape") {
  ParamStore params;
  const ParamId w = params.add("w", vector_of({1, 2}));
  Tape tape(params);
  CHECK_THROWS_AS(tape.backward(tape.parameter(w)), ShapeError);
  const Var wrong = tape.record(Tensor::scalar(1), {tape.parameter(w)},
                                [x = tape.parameter(w)](const Tensor&, Adjoints& grads) { grads.add(x, Tensor::zeros({3})); });
  CHECK_THROWS_AS(tape.backward(wrong), ShapeError);
}

TEST_CASE("names in a parameter store are unique and keep their order") {
  ParamStore params;
  params.add("b", vector_of({1, 2}));
  params.add("a.mean", vector_of({3}), ParamStore::Kind::state);
  CHECK_THROWS_AS(params.add("b", vector_of({1})), ConfigError);
  CHECK(params.size() == 2);
  CHECK(params.find("a.mean").index == 1);
  CHECK(params.find("c").index == -1);
  CHECK(params.parameter_count() == 2);
}
