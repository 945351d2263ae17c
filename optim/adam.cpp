#include <cmath>

#include "core/math.h"
#include "optim/finite.h"
#include "optim/rule.h"

namespace ebb {
namespace {

constexpr Hyperparameter kHyperparameters[] = {
    Hyperparameter::share("beta1", 0.9), Hyperparameter::share("beta2", 0.999),
    Hyperparameter::positive("epsilon", 1e-8), Hyperparameter::amount("weight_decay", 0)};
constexpr Slot kSlots[] = {{"first"}, {"second"}};  // running means of gradients and their squares

struct Constants {
  float beta1, beta2, one_minus_beta1, one_minus_beta2, coupled, shrink, step, root_correction,
      epsilon;
};

/// By value: numbers that a written float might alias would be read anew for each element.
template <bool kTold>
bool move(Constants c, std::int64_t n, const float* g, float* w, float* m, float* v,
          [[maybe_unused]] float* intended) {
  std::uint32_t overflow = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const float d = g[j] + c.coupled * w[j];
    m[j] = c.beta1 * m[j] + c.one_minus_beta1 * d;
    v[j] = c.beta2 * v[j] + c.one_minus_beta2 * d * d;
    const float change = c.step * (m[j] / (std::sqrt(v[j]) / c.root_correction + c.epsilon));
    if constexpr (kTold) intended[j] = (c.shrink - 1) * w[j] - change;
    w[j] = c.shrink * w[j] - change;
    overflow |= non_finite(v[j]) | non_finite(w[j]);  // m is a mean of what v squares
  }
  return overflow == 0;
}

bool step(const NamedNumbers& hyper, const Update& u, bool decoupled) {
  const double beta1 = number_of(hyper, "beta1"), beta2 = number_of(hyper, "beta2"),
               decay = number_of(hyper, "weight_decay");
  const auto t = static_cast<std::int64_t>(u.t);
  const auto run = u.intended == nullptr ? move<false> : move<true>;
  return run({.beta1 = static_cast<float>(beta1),
              .beta2 = static_cast<float>(beta2),
              .one_minus_beta1 = static_cast<float>(1.0 - beta1),
              .one_minus_beta2 = static_cast<float>(1.0 - beta2),
              .coupled = static_cast<float>(decoupled ? 0.0 : decay),
              .shrink = static_cast<float>(decoupled ? 1.0 - u.rate * decay : 1.0),
              .step = static_cast<float>(u.rate / (1.0 - math::pow(beta1, t))),
              .root_correction = static_cast<float>(std::sqrt(1.0 - math::pow(beta2, t))),
              .epsilon = static_cast<float>(number_of(hyper, "epsilon"))},
             u.size, u.g, u.w, u.slots[0], u.slots[1], u.intended);
}

constexpr OptimizerRule row(std::string_view name,
                            bool (*step)(const NamedNumbers&, const Update&)) {
  return {.name = name,
          .hyperparameters = kHyperparameters,
          .slots = kSlots,
          .counts_steps = true,
          .step = step,
          .tells_update = true};
}

}  // namespace

/// Adam:  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = w - rate / (1 - b1^t) m / (sqrt(v)
/// / sqrt(1 - b2^t) + epsilon) with g + weight_decay w in place of g, or, decoupled (AdamW), after
/// w = w - rate weight_decay w. Sources: Kingma & Ba, ICLR 2015; Loshchilov & Hutter, ICLR 2019;
/// order of operations as in PyTorch.
extern constinit const OptimizerRule kAdam =
    row("adam", [](const NamedNumbers& hyper, const Update& u) { return step(hyper, u, false); });
extern constinit const OptimizerRule kAdamW =
    row("adamw", [](const NamedNumbers& hyper, const Update& u) { return step(hyper, u, true); });

}  // namespace ebb
