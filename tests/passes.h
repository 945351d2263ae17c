#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/key.h"
#include "core/tape.h"
#include "layers/pass.h"

namespace ebb::test {

/// Rounding of one float32 operation, relative.
inline constexpr double kUnit = 0x1p-24;

inline Tensor random_tensor(const Shape& shape, Key key, double deviation = 1.0, double mean = 0.0) {
  Tensor x = Tensor::uninitialized(shape);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(mean + deviation * key.normal(static_cast<std::uint64_t>(i)));
  return x;
}

inline double largest_magnitude(const Tensor& x) {
  double largest = 0;
  for (const float v : x.values()) largest = std::max(largest, std::abs(double{v}));
  return largest;
}

/// A scalar whose gradient by y is r: sum of y r, in double, rounded once. Feeds a chosen gradient into the op under test.
inline Var dot(Pass& pass, Var y, Tensor r) {
  double sum = 0;
  for (std::int64_t i = 0; i < r.size(); ++i) sum += double{pass.tape[y][i]} * double{r[i]};
  return pass.tape.record(Tensor::scalar(static_cast<float>(sum)), {y},
                          [=, r = std::move(r)](const Tensor&, Adjoints& grads) { grads.add(y, r); });
}

/// Parameters, layer state and ledger that outlive the passes of a test.
struct Bench {
  ParamStore params;
  CostLedger ledger;

  Pass pass(PrecisionPlan plan = PrecisionPlan::fp32(), std::uint64_t iteration = 0, Pass::Mode mode = Pass::Mode::train) {
    return Pass{.params = params,
                .plan = std::move(plan),
                .ledger = ledger,
                .key = Key(11).fold(iteration),
                .mode = mode,
                .simd = best_simd()};
  }
};

using Op = std::function<Var(Pass&, const std::vector<Var>&)>;

/// Compares the gradients of sum(op(inputs) r), r random, by all inputs and all parameters of the store with central differences at
/// fp32.
///
/// With D(h) the difference quotient at step h = 3e-3 and D the derivative, D(h) - D is c h^2 + O(h^4) and D(2h) - D(h) is 3 c h^2,
/// so its magnitude bounds the truncation. Every output is off by at most `roundings` units of the largest output, and outputs that
/// do not move cancel exactly: both quotients together are off by at most 2 roundings units max|y| sum |r| / h over the outputs
/// that move, which also covers the rounding of the gradient itself while slopes stay below max|y| / h. A gradient that is 0
/// because its terms cancel (a bias of attention's keys) is off by roundings of terms as large as its tensor's largest element.
inline void check_gradients(Bench& bench, std::vector<Tensor> inputs, double roundings, const Op& op) {
  constexpr double step = 3e-3;
  const auto outputs = [&] {
    Pass pass = bench.pass();
    std::vector<Var> vars;
    for (const Tensor& input : inputs) vars.push_back(pass.tape.variable(input));
    return Tensor(pass.tape[op(pass, vars)]);
  };
  const Tensor base = outputs();
  const Tensor r = random_tensor(base.shape(), Key(99));
  const double largest = largest_magnitude(base);

  Pass pass = bench.pass();
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(pass.tape.variable(input));
  const Gradients by_parameter = pass.tape.backward(dot(pass, op(pass, vars), r));

  const auto check_tensor = [&](Tensor& x, const Tensor& gradient) {
    REQUIRE(gradient.shape() == x.shape());
    const std::int64_t stride = std::max<std::int64_t>(1, x.size() / 37);  // a sample of the large ones
    const double largest_gradient = largest_magnitude(gradient);
    for (std::int64_t i = 0; i < x.size(); i += stride) {
      const float center = x[i];
      double moving = 0;
      const auto quotient = [&](double h) {
        const auto high = static_cast<float>(double{center} + h), low = static_cast<float>(double{center} - h);
        x[i] = high;
        const Tensor up = outputs();
        x[i] = low;
        const Tensor down = outputs();
        x[i] = center;
        double change = 0;
        moving = 0;
        for (std::int64_t j = 0; j < r.size(); ++j) {
          change += (double{up[j]} - double{down[j]}) * double{r[j]};
          moving += up[j] != down[j] ? std::abs(double{r[j]}) : 0.0;
        }
        return change / (double{high} - double{low});
      };
      const double wide = quotient(2 * step), narrow = quotient(step);
      const double tolerance =
          std::abs(wide - narrow) + 2 * roundings * kUnit * largest * moving / step + roundings * kUnit * largest_gradient;
      CAPTURE(i);
      CAPTURE(tolerance);
      CHECK(std::abs(double{gradient[i]} - narrow) <= tolerance);
    }
  };
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    CAPTURE(k);
    check_tensor(inputs[k], pass.tape.gradient_of(vars[k]));
  }
  for (std::size_t k = 0; k < bench.params.size(); ++k) {
    const ParamStore::Entry& entry = bench.params.entries()[k];
    if (entry.kind != ParamStore::Kind::parameter) continue;
    CAPTURE(entry.name);
    check_tensor(bench.params[ParamId{static_cast<std::int32_t>(k)}], by_parameter[k]);
  }
}

}  // namespace ebb::test
