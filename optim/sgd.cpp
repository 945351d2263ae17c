#include "optim/finite.h"
#include "optim/rule.h"

namespace ebb {
namespace {

constexpr Hyperparameter kHyperparameters[] = {Hyperparameter::share("momentum", 0.9),
                                               Hyperparameter::amount("weight_decay", 0)};
constexpr Slot kSlots[] = {{"velocity"}};

struct Constants {
  float momentum, decay, step;
};

/// By value: numbers that a written float might alias would be read anew for each element.
template <bool kTold>
bool move(Constants c, std::int64_t n, const float* g, float* w, float* v,
          [[maybe_unused]] float* intended) {
  std::uint32_t overflow = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    v[j] = c.momentum * v[j] + (g[j] + c.decay * w[j]);
    if constexpr (kTold) intended[j] = -(c.step * v[j]);
    w[j] -= c.step * v[j];
    overflow |= non_finite(v[j]) | non_finite(w[j]);
  }
  return overflow == 0;
}

bool step(const NamedNumbers& hyper, const Update& u) {
  const auto run = u.intended == nullptr ? move<false> : move<true>;
  return run({.momentum = static_cast<float>(number_of(hyper, "momentum")),
              .decay = static_cast<float>(number_of(hyper, "weight_decay")),
              .step = static_cast<float>(u.rate)},
             u.size, u.g, u.w, u.slots[0], u.intended);
}

}  // namespace

/// Stochastic gradient descent with momentum:  d = g + weight_decay w;  v = momentum v + d;  w = w
/// - rate v. Weight decay reaches every parameter, biases and batch norm included, as in PyTorch
/// and the CPT recipe.
extern constinit const OptimizerRule kSgd{.name = "sgd",
                                          .hyperparameters = kHyperparameters,
                                          .slots = kSlots,
                                          .step = step,
                                          .tells_update = true};

}  // namespace ebb
