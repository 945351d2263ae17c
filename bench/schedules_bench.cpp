// What a schedule costs: one evaluation of any expression of SCHEDULES.md is to stay below 200 ns,
// binding it below 1 ms, the last-iterate bound of a million steps below 50 ms.
#include <benchmark/benchmark.h>

#include "core/key.h"
#include "schedules/cpt.h"
#include "schedules/last_iterate.h"

namespace {

constexpr const char* kExpressions[] = {
    "1->0:lin",
    "step(50%,75%,.1)",
    "sample(every 10%) 1->0:rex",
    "warm(300up) (1 @rest ; 1->0:sqrt1 @20%)",
    "(1 @40000up ; 1->.525:lin @1000up ; .525 @rest) * (1 @rest ; 1->0:lin @20%)",
    "0->1:lin @4000up ; inv(sqrt(affine(update,1/4000,1))) @rest",
    "cycle(3, mul=2, decay=.5) 1->0:cos",
    "round(3->8 : cycle(8) cos)",
    "round(3->8 : zigzag(8,H) exp(4))",
    "round(3->8 : zigzag(8,V) rex(.9))",
    "fp32 @10% ; round(3->8:cycle(8) cos) @rest",
    "0 @10% ; 0->.1:smooth @80% ; .1 @rest",
    "group{ffn: (fp4 @95% ; bf16 @rest), *: (fp8 @95% ; bf16 @rest)}"};

constexpr std::int64_t kUpdates = 262198;

void evaluate(benchmark::State& state) {
  const char* const expression = kExpressions[state.range(0)];
  const ebb::Bound bound = ebb::Schedule::parse(expression).bind(kUpdates);
  std::int64_t t = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(bound.value(t));
    t = (t + 7919) % kUpdates;
  }
  state.SetLabel(expression);
}
BENCHMARK(evaluate)->DenseRange(0, std::size(kExpressions) - 1);

void parse_and_bind(benchmark::State& state) {
  const char* const expression = kExpressions[state.range(0)];
  for (auto _ : state) benchmark::DoNotOptimize(ebb::Schedule::parse(expression).bind(kUpdates));
  state.SetLabel(expression);
}
BENCHMARK(parse_and_bind)->DenseRange(0, std::size(kExpressions) - 1);

void bound_of_steps(benchmark::State& state) {
  std::vector<double> steps(static_cast<std::size_t>(state.range(0))), norms(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i] = ebb::Key(1).uniform(i);
    norms[i] = 1 + ebb::Key(2).uniform(i);
  }
  for (auto _ : state) benchmark::DoNotOptimize(ebb::last_iterate_bound(steps, norms).best());
}
BENCHMARK(bound_of_steps)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
