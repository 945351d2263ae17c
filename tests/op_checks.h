#pragma once

#include <omp.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "passes.h"

namespace ebb::test {

/// What an op gives: its value, and the gradients of sum(value r), r random, by its inputs and by
/// the parameters.
struct OpResult {
  Tensor y;
  std::vector<Tensor> by_input;
  Gradients by_parameter;
  friend bool operator==(const OpResult&, const OpResult&) = default;
};

inline Tensor gradient_for(const Shape& shape) { return random_tensor(shape, Key(77)); }

inline OpResult run_op(Bench& bench, const std::vector<Tensor>& inputs, const Op& op,
                       const PrecisionPlan& plan = PrecisionPlan::fp32(), Simd simd = best_simd()) {
  Pass pass = bench.pass(plan);
  pass.simd = simd;
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(pass.tape.variable(input));
  const Var y = op(pass, vars);
  OpResult result{.y = pass.tape[y], .by_input = {}, .by_parameter = {}};
  result.by_parameter = pass.tape.backward(dot(pass, y, gradient_for(result.y.shape())));
  for (const Var x : vars) result.by_input.push_back(pass.tape.gradient_of(x));
  return result;
}

/// The same bits at every SIMD level and for 1 to 3 threads.
inline void check_bits(Bench& bench, const std::vector<Tensor>& inputs, const Op& op,
                       const PrecisionPlan& plan = PrecisionPlan::fp32()) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const OpResult first = run_op(bench, inputs, op, plan, Simd::scalar);
  for (const Simd simd : {Simd::scalar, Simd::avx2, Simd::avx512}) {
    for (const int count : {1, 2, 3}) {
      if (simd > best_simd()) continue;
      CAPTURE(to_text(simd));
      CAPTURE(count);
      omp_set_num_threads(count);
      CHECK(run_op(bench, inputs, op, plan, simd) == first);
    }
  }
  omp_set_num_threads(threads);
}

/// Every element is within bound(i) of want(i), both in double.
template <class Want, class Bound>
void require_elements(const Tensor& got, const Want& want, const Bound& bound) {
  for (std::int64_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CAPTURE(got[i]);
    CAPTURE(want(i));
    REQUIRE(std::abs(double{got[i]} - want(i)) <= bound(i) * (1 + 0x1p-20) + 0x1p-126);
  }
}

}  // namespace ebb::test
