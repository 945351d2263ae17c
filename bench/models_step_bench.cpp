// Whole training steps. "step" begins with the images in memory as bytes; "step_on_ready_batch"
// begins with the normalised batch.
#include "rows.h"
#include "training.h"

namespace {

using namespace ebb;

void add(const std::string& architecture, const std::string& plan) {
  const auto row = [=](benchmark::State& state, bool ready) {
    bench::Training training(architecture,
                             architecture == "lenet5" ? "synthetic" : "synthetic-cifar", 128);
    training.plan = bench::parse_plan(plan);
    const Batch batch = training.next_batch();
    training.step(batch);
    const double ops = 2.0 * static_cast<double>(training.ledger().total_macs());
    bench::Work work;
    (plan == "fp32" ? work.float_ops : work.int8_ops) = ops;
    bench::time_row(state, work, [&] {
      return bench::seconds_of([&] { ready ? training.step(batch) : training.step(); });
    });
  };
  bench::add_row(concat(architecture, '/', plan, "/step"),
                 [=](benchmark::State& state) { row(state, false); });
  bench::add_row(concat(architecture, '/', plan, "/step_on_ready_batch"),
                 [=](benchmark::State& state) { row(state, true); });
}

const bool registered = [] {
  for (const char* architecture : {"lenet5", "resnet20"}) {
    for (const char* plan : {"8/8", "fp32", "8/8/wrap16", "8/8/sat16", "8/8/sat32"})
      add(architecture, plan);
    for (int bits = 1; bits <= 16; ++bits) {
      if (bits != 8) add(architecture, concat(bits, '/', bits));
    }
  }
  return true;
}();

}  // namespace
