#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/key.h"
#include "core/tape.h"
#include "layers/gradient_check.h"
#include "layers/pass.h"

namespace ebb::test {

/// Rounding of one float32 operation, relative.
inline constexpr double kUnit = 0x1p-24;

inline Tensor random_tensor(const Shape& shape, Key key, double deviation = 1.0,
                            double mean = 0.0) {
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

/// A scalar whose gradient by y is r: sum of y r, in double, rounded once. Feeds a chosen gradient
/// into the op under test.
inline Var dot(Pass& pass, Var y, Tensor r) {
  double sum = 0;
  for (std::int64_t i = 0; i < r.size(); ++i) sum += double{pass.tape[y][i]} * double{r[i]};
  return pass.tape.record(
      Tensor::scalar(static_cast<float>(sum)), {y},
      [=, r = std::move(r)](const Tensor&, Adjoints& grads) { grads.add(y, r); });
}

/// Parameters, layer state and ledger that outlive the passes of a test.
struct Bench {
  ParamStore params;
  CostLedger ledger;

  Pass pass(PrecisionPlan plan = PrecisionPlan::fp32(), std::uint64_t iteration = 0,
            Pass::Mode mode = Pass::Mode::train) {
    return Pass{.params = params,
                .plan = std::move(plan),
                .ledger = ledger,
                .key = Key(11).fold(iteration),
                .mode = mode,
                .simd = best_simd()};
  }
};

using Op = DifferentiableOp;

/// Holds every gradient of the op against difference quotients, see layers/gradient_check.h.
inline void check_gradients(Bench& bench, std::vector<Tensor> inputs, double roundings,
                            const Op& op) {
  for (const CheckedGradient& checked :
       ebb::check_gradients(bench.params, std::move(inputs), roundings, op, Key(11).fold(0))) {
    CAPTURE(to_text(checked));
    CHECK(checked.agrees());
  }
}

}  // namespace ebb::test
