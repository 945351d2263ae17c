#include "rows.h"

#include <omp.h>

#include <utility>

#include "core/process.h"
#include "peak.h"

namespace ebb::bench {
namespace {

enum class Part { forward, backward, grad_params };

// One sweep through the op. Only the part under measurement is timed; the loss that ends it just
// hands `gradient` on.
double time_part(const OpUnderTest& test, const Tensor& input, const Tensor& gradient, Part part) {
  ParamStore none;
  CostLedger ledger;
  Pass pass{.params = test.params ? *test.params : none,
            .plan = test.plan,
            .ledger = ledger,
            .key = Key(1),
            .simd = best_simd()};
  const Var x = part == Part::grad_params ? pass.tape.constant(input) : pass.tape.variable(input);
  Var y;
  const double forward = seconds_of([&] { y = test.op(pass, x); });
  if (part == Part::forward) return forward;
  const auto hand_on = [y, g = gradient](Tensor&&, Adjoints& grads) mutable {
    grads.add(y, std::move(g));
  };
  const Var loss = pass.tape.record(Tensor::scalar(0), {y}, hand_on);
  return seconds_of([&] { benchmark::DoNotOptimize(pass.tape.backward(loss)); });
}

// A gradient for the op's result: random, as in training, not the ones that a sum would give.
Tensor random_gradient(const OpUnderTest& test, const Tensor& input) {
  ParamStore none;
  CostLedger ledger;
  Pass pass{.params = test.params ? *test.params : none,
            .plan = test.plan,
            .ledger = ledger,
            .key = Key(1),
            .simd = best_simd()};
  return random_tensor(pass.tape.shape(test.op(pass, pass.tape.constant(input))), "g");
}

}  // namespace

void time_row(benchmark::State& state, const Work& work, const std::function<double()>& once) {
  const int threads = static_cast<int>(state.range(0));
  omp_set_num_threads(threads);
  const Peak& most = peak(threads);
  once();
  double seconds = 0;
  for (auto _ : state) {
    const double lap = once();
    state.SetIterationTime(lap);
    seconds += lap;
  }
  const double rounds = static_cast<double>(state.iterations());
  const auto count = [&](const char* unit, const char* share, double done, double most_a_second) {
    if (done == 0) return;
    state.counters[unit] = benchmark::Counter(done * rounds / seconds);
    state.counters[share] = benchmark::Counter(done * rounds / seconds / most_a_second);
  };
  count("OP/s", "of_peak", work.int8_ops, most.int8_ops);
  count("OP/s", "of_peak", work.float_ops, most.float_ops);
  count("B/s", "of_copy", work.bytes, most.copy_bytes);
}

void add_row(const std::string& name, const std::function<void(benchmark::State&)>& row) {
  benchmark::RegisterBenchmark(name.c_str(), row)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->ArgName("threads")
      ->Arg(1)
      ->Arg(2);
}

void add_op_rows(const std::string& name, const OpUnderTest& op, const Work& forward,
                 const Work& backward, const Work& grad_params) {
  const auto add = [&](const char* suffix, Part part, const Work& work) {
    add_row(name + suffix, [=](benchmark::State& state) {
      const Tensor input = random_tensor(op.input, "x");
      const Tensor gradient = random_gradient(op, input);
      time_row(state, work, [&] { return time_part(op, input, gradient, part); });
      state.SetLabel(op.label);
    });
  };
  add("/forward", Part::forward, forward);
  add("/backward", Part::backward, backward);
  if (op.params != nullptr) add("/grad_params", Part::grad_params, grad_params);
}

}  // namespace ebb::bench

int main(int argc, char** argv) {
  using namespace ebb::bench;
  ebb::start_tuned(argv);
  ebb::keep_memory();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const Peak& most = peak(1);
  const auto giga = [](double rate) { return std::to_string(rate / 1e9); };
  benchmark::AddCustomContext("peak of a thread, int8 GOP/s",
                              giga(most.int8_ops) + " by " + std::string(most.int8_loop));
  benchmark::AddCustomContext("peak of a thread, fp32 GOP/s",
                              giga(most.float_ops) + " by " + std::string(most.float_loop));
  benchmark::AddCustomContext("copy by a thread, GB/s", giga(most.copy_bytes));
  benchmark::RunSpecifiedBenchmarks();
}
