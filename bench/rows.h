#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "layers/pass.h"
#include "products.h"

namespace ebb::bench {

/// What one iteration of a row does; 0 for what is not counted.
struct Work {
  double int8_ops = 0, float_ops = 0;  ///< multiplications and additions
  double bytes = 0;                    ///< that must at least be read and written
};

/// Times a row on state.range(0) threads (argument "threads"), then adds GOP/s, bytes/s and their
/// shares of what the machine can do (peak.h). `once` returns the seconds of one iteration.
void time_row(benchmark::State& state, const Work& work, const std::function<double()>& once);

/// Seconds that a call takes.
template <class Body>
double seconds_of(const Body& body) {
  const auto begun = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

/// Registers a row for 1 and 2 threads.
void add_row(const std::string& name, const std::function<void(benchmark::State&)>& row);

/// A differentiable op under measurement; its layers, if any, keep their parameters in `params`.
struct OpUnderTest {
  Shape input;
  std::function<Var(Pass& pass, Var x)> op;
  PrecisionPlan plan = PrecisionPlan::fp32();
  std::shared_ptr<ParamStore> params = nullptr;
  std::string label = {};  ///< shown beside its rows
};
/// Registers "<name>/forward", "<name>/backward" (all gradients) and, when it has parameters,
/// "<name>/grad_params" (a backward sweep that leaves out the input's gradient).
void add_op_rows(const std::string& name, const OpUnderTest& op, const Work& forward,
                 const Work& backward, const Work& grad_params);

}  // namespace ebb::bench
