#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/tape.h"

using namespace ebb;

namespace {

/// y = sum of the inputs with weights, for scalars; each backward notes its name and the gradient
/// that reached it.
Var weighted(Tape& tape, std::vector<std::string>& order, const std::string& name, Var a, float wa,
             Var b, float wb) {
  return tape.record(Tensor::scalar(wa * tape[a].item() + wb * tape[b].item()), {a, b},
                     [=, &order](const Tensor& g, Adjoints& grads) {
                       order.push_back(name + "=" + to_text(g.item()));
                       grads.add(a, Tensor::scalar(wa * g.item()));
                       grads.add(b, Tensor::scalar(wb * g.item()));
                     });
}

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
  return tape.record(Tensor::scalar(sum), {x},
                     [x, shape = tape.shape(x)](const Tensor& g, Adjoints& grads) {
                       grads.add(x, Tensor::filled(shape, g.item()));
                     });
}

struct Store {
  ParamStore params;
  ParamId w = params.add("w", Tensor::scalar(3.0f)),
          unused = params.add("unused", Tensor::zeros({2}));
};

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

TEST_CASE("backward sweeps the record in reverse and gives every gradient to its parameter") {
  Store store;
  Tape tape(store.params);
  std::vector<std::string> order;
  const Var w = tape.parameter(store.w), x = tape.variable(Tensor::scalar(5.0f));
  const Var a = weighted(tape, order, "a", w, 2, x, 3);   // 21
  const Var b = weighted(tape, order, "b", a, 1, w, 10);  // 51
  const Var loss = weighted(tape, order, "loss", b, 1, a, 1);
  CHECK(tape[loss].item() == 72);
  const Gradients gradients = tape.backward(loss, 2.0f);
  CHECK(order == std::vector<std::string>{"loss=2", "b=2", "a=4"});
  CHECK(gradients[0].item() == 2 * 10 + 4 * 2);
  CHECK(gradients[1].shape() == Shape{0});  // not on the tape
  CHECK(tape.gradient_of(x).item() == 12);
}

TEST_CASE("contributions to one gradient are added in the order of the sweep") {
  Store store;
  Tape tape(store.params);
  std::vector<std::string> order;
  const Var w = tape.parameter(store.w), zero = tape.constant(Tensor::scalar(0));
  const Var big = weighted(tape, order, "big", w, 0x1p24f, zero, 0),
            one = weighted(tape, order, "one", w, 1, zero, 0);
  const Var also = weighted(tape, order, "also", w, 1, zero, 0);
  const Var loss =
      weighted(tape, order, "loss", weighted(tape, order, "sum", big, 1, one, 1), 1, also, 1);
  // also, one, big: (1 + 1) + 2^24. Any order that meets 2^24 earlier loses both ones.
  CHECK(tape.backward(loss)[0].item() == 0x1p24f + 2);
}

TEST_CASE("a parameter that is used twice is one leaf") {
  Store store;
  Tape tape(store.params);
  CHECK(tape.parameter(store.w) == tape.parameter(store.w));
  CHECK(tape.parameter(store.w) != tape.parameter(store.unused));
  CHECK(tape[tape.parameter(store.w)].data() == store.params[store.w].data());  // no copy
}

TEST_CASE("a parameter that was given another shape is refused where it is used") {
  ParamStore params;
  const ParamId bias = params.add("fc.bias", Tensor::zeros({3}));
  params[bias] = Tensor::filled({3}, 2.0f);  // other values are the way to set a parameter
  Tape fits(params);
  CHECK(fits[fits.parameter(bias)] == Tensor::filled({3}, 2.0f));
  params[bias] = Tensor::zeros({1});
  Tape tape(params);
  CHECK_THROWS_WITH_AS(tape.parameter(bias),
                       "[params] 'fc.bias' was added with shape [3] and has [1] now: assign values "
                       "of the same shape",
                       ShapeError);
}

TEST_CASE("what only depends on constants is neither wanted nor swept") {
  Store store;
  Tape tape(store.params);
  std::vector<std::string> order;
  const Var x = tape.constant(Tensor::scalar(1)), w = tape.parameter(store.w);
  const Var dead = weighted(tape, order, "dead", x, 1, x, 1);
  const Var aside = weighted(tape, order, "aside", w, 1, w, 1);  // the loss does not use it
  const Var loss = tape.record(Tensor::scalar(7), {dead, w}, [=](const Tensor& g, Adjoints& grads) {
    CHECK_FALSE(grads.wants(dead));
    CHECK_FALSE(grads.wants(x));
    CHECK(grads.wants(w));
    grads.add(dead, Tensor::scalar(99));  // ignored
    grads.add(w, g);
  });
  CHECK(tape.backward(loss)[0].item() == 1);
  CHECK(order.empty());
  CHECK_THROWS_AS(static_cast<void>(tape[aside]), ConfigError);  // values are released on the way
  CHECK(tape[loss].item() == 7);
}

TEST_CASE("a tape without gradients holds nothing that only a sweep would read") {
  Store store;
  for (const bool gradients : {true, false}) {
    CAPTURE(gradients);
    Tape tape(store.params, {}, gradients);
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> seen = held;
    const Var y = tape.record(Tensor::scalar(7), {tape.parameter(store.w)},
                              [held = std::move(held)](const Tensor&, Adjoints&) {});
    CHECK(tape.gradients() == gradients);
    CHECK(seen.expired() == !gradients);
    CHECK(tape[y].item() == 7);
  }
}

TEST_CASE("a variable that the loss does not use has a zero gradient") {
  Store store;
  Tape tape(store.params);
  const Var x = tape.variable(Tensor::filled({2, 3}, 1.0f));
  const Var loss =
      tape.record(Tensor::scalar(0), {tape.parameter(store.w)}, [](const Tensor&, Adjoints&) {});
  const Gradients gradients = tape.backward(loss);
  CHECK(tape.gradient_of(x) == Tensor::zeros({2, 3}));
  CHECK(gradients[0].size() == 0);
}

TEST_CASE("an empty value's gradient reaches its backward, and is not mistaken for a missing one") {
  Store store;
  Tape tape(store.params);
  bool swept = false;
  const Var x = tape.variable(Tensor::zeros({0, 4}));
  const Var y = tape.record(Tensor::zeros({0, 2}), {x}, [&](const Tensor& g, Adjoints& grads) {
    swept = true;
    CHECK(g.shape() == Shape{0, 2});
    grads.add(x, Tensor::zeros({0, 4}));
  });
  const Var loss = tape.record(Tensor::scalar(0), {y}, [=](const Tensor&, Adjoints& grads) {
    grads.add(y, Tensor::zeros({0, 2}));
  });
  tape.backward(loss);
  CHECK(swept);
}

TEST_CASE("a loss that is no scalar and a gradient of another shape are refused") {
  Store store;
  Tape tape(store.params);
  CHECK_THROWS_WITH_AS(tape.backward(tape.variable(Tensor::zeros({2, 2}))),
                       "[backward] the loss must be a scalar, got shape [2, 2]", ShapeError);
  const Var w = tape.parameter(store.w);
  const Var loss = tape.record(Tensor::scalar(0), {w}, [=](const Tensor&, Adjoints& grads) {
    grads.add(w, Tensor::zeros({3}));
  });
  CHECK_THROWS_WITH_AS(tape.backward(loss), "[backward] gradient [3] for a value of shape []",
                       ShapeError);
}

TEST_CASE("a lazy value is computed when it is read whole, once, and not before") {
  ParamStore params;
  Tape tape(params);
  const Var x = tape.variable(vector_of({1, 2, 3}));
  int rows = 0;
  const auto write = [&](std::int64_t first, std::int64_t last, float* out) {
    rows += static_cast<int>(last - first);
    for (std::int64_t i = 2 * first; i < 2 * last; ++i) *out++ = static_cast<float>(i);
  };
  const Var y = tape.record_lazy(
      {4, 2}, {.write = write}, {&x, 1}, [](const Tensor&, Adjoints&) {}, Range{0, 7});
  CHECK(tape.shape(y) == Shape{4, 2});
  CHECK(tape.range(y)->max == 7.0f);
  CHECK(tape.lazy(y) != nullptr);
  CHECK(rows == 0);
  float row[2];
  tape.read_rows(y, 2, 3, row);
  CHECK(row[1] == 5.0f);
  CHECK(rows == 1);
  CHECK(tape.lazy(y) != nullptr);
  CHECK(tape[y][5] == 5.0f);
  CHECK(tape[y][7] == 7.0f);
  CHECK(rows == 1 + 4);
  CHECK(tape.lazy(y) == nullptr);
  tape.read_rows(y, 0, 1, row);
  CHECK(row[1] == 1.0f);
  CHECK(rows == 1 + 4);
}

TEST_CASE(
    "a gradient passes its sink once, in the op that completes it or before it is handed on") {
  for (const bool in_cache : {true, false}) {
    CAPTURE(in_cache);
    ParamStore params;
    Tape tape(params);
    const Var x = tape.variable(vector_of({1, 2}));
    std::vector<std::string> seen;
    const Var middle =
        tape.record(Tensor::filled({2, 1}, 5.0f), {x}, [&](const Tensor& g, Adjoints&) {
          seen.push_back("gradient " + to_text(g[0]) + " " + to_text(g[1]));
        });
    tape.sink_gradient(middle, [&](std::int64_t first, std::int64_t last, float* rows) {
      for (std::int64_t i = first; i < last; ++i) {
        seen.push_back("row " + std::to_string(i) + " " + to_text(rows[i - first]));
        rows[i - first] *= 10;
      }
    });
    // Three readers; the backward sweep meets the third first.
    std::vector<Var> readers;
    for (int k = 1; k <= 3; ++k) {
      readers.push_back(
          tape.record(Tensor::scalar(0), {middle}, [=, &seen](const Tensor&, Adjoints& grads) {
            Tensor g = Tensor::filled({2, 1}, static_cast<float>(k));
            const GradientSink sink = in_cache ? grads.sink(middle) : GradientSink{};
            seen.push_back(std::to_string(k) + (sink ? " completes" : " adds"));
            if (sink) sink(0, 2, g.data());
            grads.add(middle, std::move(g));
          }));
    }
    const Var loss = weighted(tape, seen, "loss", readers[0], 1,
                              weighted(tape, seen, "pair", readers[1], 1, readers[2], 1), 1);
    tape.backward(loss);
    CHECK(seen == std::vector<std::string>{"loss=1", "pair=1", "3 adds", "2 adds",
                                           in_cache ? "1 completes" : "1 adds", "row 0 6",
                                           "row 1 6", "gradient 60 60"});
  }
}

TEST_CASE("the memory of a lazy value can be taken until somebody has read it") {
  ParamStore params;
  const ParamId id = params.add("w", Tensor::scalar(3.0f));
  Tape tape(params);
  const Var w = tape.parameter(id), x = tape.variable(vector_of({1, 2}));
  int computed = 0;
  const auto lazy = [&](bool ready) {
    LazyValue value{.write = [&](std::int64_t, std::int64_t, float* out) {
      ++computed;
      out[0] = out[1] = 7;
    }};
    if (ready) value.ready = vector_of({7, 7});
    return tape.record_lazy({2}, std::move(value), {&x, 1}, [](Tensor&&, Adjoints&) {});
  };
  const Var taken = lazy(true), read = lazy(true), never_there = lazy(false);
  CHECK(tape[read] == vector_of({7, 7}));
  for (const Var kept : {w, x, read, never_there}) CHECK_FALSE(tape.take(kept).has_value());
  CHECK(tape.take(taken) == vector_of({7, 7}));
  CHECK_FALSE(tape.take(taken).has_value());
  CHECK(tape.shape(taken) == Shape{2});
  CHECK(computed == 0);
  CHECK(tape[taken] == vector_of({7, 7}));  // again
  CHECK(computed == 1);
}

static_assert(!std::is_copy_constructible_v<Tape> && !std::is_move_constructible_v<Tape>,
              "backward functions refer to their tape");

TEST_CASE("a reference to a value holds while ops are recorded") {
  ParamStore params;
  Tape tape(params);
  const Var x = tape.constant(vector_of({1, 2}));
  const Tensor& value = tape[x];
  for (int i = 0; i < 1000; ++i) tape.constant(Tensor::scalar(0));
  CHECK(&tape[x] == &value);
  CHECK(value == vector_of({1, 2}));
}

TEST_CASE("what is no value of a tape, or no longer one, is refused with what to do") {
  Store store;
  Tape tape(store.params), other(store.params);
  const Var w = tape.parameter(store.w), c = tape.constant(Tensor::scalar(2)),
            v = tape.variable(Tensor::scalar(4));
  const Var product = multiply(tape, multiply(tape, w, c), v), loss = total(tape, product);
  const Var foreign = other.constant(Tensor::scalar(1));
  std::optional<Tape> again(std::in_place, store.params);
  const Var stale = again->constant(Tensor::scalar(1));
  again.emplace(store.params);  // at the same address
  again->constant(Tensor::scalar(2));
  const auto add_to = [&](Var target) {
    Tape own(store.params);
    const Var x = own.parameter(store.w);
    own.backward(own.record(Tensor::scalar(1), {x},
                            [=](const Tensor& g, Adjoints& grads) { grads.add(target, g); }));
  };
  struct Case {
    const char* why;
    std::function<void()> use;
    const char* message;
  };
  const Case before[] = {
      {"never assigned", [&] { static_cast<void>(tape[Var{}]); }, "was never assigned"},
      {"never assigned, as an input", [&] { static_cast<void>(total(tape, Var{})); },
       "was never assigned"},
      {"never assigned, in a backward function", [&] { add_to(Var{}); }, "was never assigned"},
      {"of another tape", [&] { static_cast<void>(tape[foreign]); }, "of another tape"},
      {"of another tape, in a backward function", [&] { add_to(w); }, "of another tape"},
      {"of an earlier tape in the same place", [&] { static_cast<void>((*again)[stale]); },
       "of another tape"},
      {"a parameter of another store", [&] { tape.parameter({7}); },
       "there is no entry 7 in a store of 2"},
      {"gradients before the sweep", [&] { static_cast<void>(tape.gradient_of(v)); },
       "before backward()"},
      {"a sweep of values alone",
       [&] {
         Tape values(store.params, {}, false);
         values.backward(values.variable(Tensor::scalar(1)));
       },
       "records no gradients"},
      {"a loss without parameters", [&] { tape.backward(c); },
       "depends on no parameter or variable"},
  };
  const Case after[] = {
      {"a second sweep", [&] { tape.backward(loss); }, "a tape is swept once"},
      {"an op behind the sweep", [&] { tape.constant(Tensor::scalar(1)); },
       "recorded after backward()"},
      {"a value that the sweep released", [&] { static_cast<void>(tape[product]); },
       "read after backward()"},
      {"the gradient of a constant", [&] { static_cast<void>(tape.gradient_of(c)); },
       "only a variable() keeps its gradient"},
      {"the gradient of a result", [&] { static_cast<void>(tape.gradient_of(product)); },
       "only a variable() keeps its gradient"},
      {"the gradient of a parameter", [&] { static_cast<void>(tape.gradient_of(w)); },
       "is in what backward() returned"},
  };
  const auto check = [](std::span<const Case> cases) {
    for (const Case& one : cases) {
      CAPTURE(one.why);
      std::string message;
      try {
        one.use();
      } catch (const ConfigError& error) {
        message = error.what();
      }
      CAPTURE(message);
      CHECK(message.find(one.message) != std::string::npos);
    }
  };
  check(before);
  const Gradients gradients = tape.backward(loss);
  CHECK(gradients[0].item() == 8);
  CHECK(tape.gradient_of(v).item() == 6);
  CHECK(tape[loss].item() == 24);  // the loss stays
  check(after);
}
