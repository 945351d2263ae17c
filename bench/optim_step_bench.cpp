// A step of each optimizer over 10 million parameters. Bytes are those of what it keeps, read and
// written once, beside weights and gradients in float32.
#include <memory>

#include "core/text.h"
#include "optim/optimizer.h"
#include "rows.h"

namespace {

using namespace ebb;

constexpr std::int64_t kSize = 10'000'000;

struct Training {
  ParamStore params;
  Gradients gradients;
  Optimizer optimizer;
  std::uint64_t t = 0;

  explicit Training(const std::string& name) : optimizer(make_optimizer(name)) {
    Tensor weights = Tensor::uninitialized({kSize}), gradient = Tensor::uninitialized({kSize});
    for (std::int64_t i = 0; i < kSize; ++i) {
      const std::uint64_t draw = Key(1).bits(static_cast<std::uint64_t>(i));
      weights[i] = static_cast<float>(draw & 0xffff) * 0x1p-20f - 0x1p-5f;
      gradient[i] = static_cast<float>(draw >> 48) * 0x1p-24f - 0x1p-9f;
    }
    params.add("w", std::move(weights));
    gradients.push_back(std::move(gradient));
    step();
  }
  void step() {
    optimizer.step(params, gradients, 1e-3, Key(t));
    ++t;
  }
};

const bool registered = [] {
  for (const std::string& name : optimizer_names()) {
    double bytes = 12;  // a weight is read and written, a gradient read
    const Optimizer optimizer = make_optimizer(name);
    for (const Slot& slot : optimizer.rule->slots)
      bytes += 2 * optimizer.format_of(slot).width / 8.0;
    bench::add_row("optim_step/" + name, [=](benchmark::State& state) {
      Training training(name);
      bench::time_row(state, {.bytes = bytes * static_cast<double>(kSize)},
                      [&] { return bench::seconds_of([&] { training.step(); }); });
    });
  }
  return true;
}();

}  // namespace
