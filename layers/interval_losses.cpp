#include "layers/interval_losses.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/elementwise.h"

namespace ebb {
namespace {

double mean_width(const Tensor& ends) {
  const std::int64_t half = ends.size() / 2;
  double sum = 0;
  for (std::int64_t k = 0; k < half; ++k) sum += double{ends[half + k]} - double{ends[k]};
  return sum / static_cast<double>(half);
}

/// A layer's max(0, tolerance - w0 / w).
Var looseness(Pass& pass, Var bounds, double width_of_box, double tolerance) {
  if (pass.counting) return pass.tape.record_shape({}, {bounds});
  const Tensor& ends = pass.tape[bounds];
  const double width = std::max(mean_width(ends), 1e-12), loss = tolerance - width_of_box / width;
  const Shape shape = ends.shape();
  // Of every upper end; lower ones have its opposite.
  const double slope = width_of_box / (width * width) / (0.5 * static_cast<double>(ends.size()));
  return pass.tape.record(Tensor::scalar(static_cast<float>(std::max(loss, 0.0))), {bounds},
                          [=](const Tensor& g, Adjoints& grads) {
                            // Zeros too: what a step costs does not follow from its numbers.
                            const auto by =
                                static_cast<float>(loss > 0 ? double{g.item()} * slope : 0.0);
                            Tensor result = Tensor::filled(shape, by);
                            for (std::int64_t k = 0; k < result.size() / 2; ++k) result[k] = -by;
                            grads.add(bounds, std::move(result));
                          });
}

/// max(0, tolerance - min(a / b, b / a)), and its derivatives; 0 unless both are above 0.
struct Imbalance {
  double loss = 0, by_a = 0, by_b = 0;
};
Imbalance imbalance(double a, double b, double tolerance) {
  if (!(a > 0) || !(b > 0)) return {};
  const double small = std::min(a, b), large = std::max(a, b), loss = tolerance - small / large;
  if (!(loss > 0)) return {};
  const double by_small = -1 / large, by_large = small / (large * large);
  return {loss, a < b ? by_small : by_large, a < b ? by_large : by_small};
}

enum class State : std::uint8_t { open, active, inactive };

Var imbalance_of(Pass& pass, Var bounds, double tolerance) {
  if (pass.counting) return pass.tape.record_shape({}, {bounds});
  const Tensor& ends = pass.tape[bounds];
  const std::int64_t half = ends.size() / 2;
  std::vector<double> centre(static_cast<std::size_t>(half));
  std::vector<State> state(static_cast<std::size_t>(half), State::open);
  double total = 0, active = 0, inactive = 0;
  bool any_active = false, any_inactive = false;
  for (std::int64_t k = 0; k < half; ++k) {
    const auto at = static_cast<std::size_t>(k);
    centre[at] = 0.5 * (double{ends[k]} + double{ends[half + k]});
    total += centre[at];
    if (ends[k] > 0) {
      state[at] = State::active;
      active += centre[at];
      any_active = true;
    } else if (ends[half + k] < 0) {
      state[at] = State::inactive;
      inactive -= centre[at];
      any_inactive = true;
    }
  }
  const double mean = total / static_cast<double>(half);
  double spread_active = 0, spread_inactive = 0;  // of squares
  double linear_active = 0, linear_inactive = 0;  // of c - mean
  for (std::size_t at = 0; at < centre.size(); ++at) {
    const double apart = centre[at] - mean;
    if (state[at] == State::active) {
      spread_active += apart * apart;
      linear_active += apart;
    } else if (state[at] == State::inactive) {
      spread_inactive += apart * apart;
      linear_inactive += apart;
    }
  }
  const bool both = any_active && any_inactive;
  const Imbalance sums = both ? imbalance(active, inactive, tolerance) : Imbalance{},
                  spreads =
                      both ? imbalance(spread_active, spread_inactive, tolerance) : Imbalance{};
  const Shape shape = ends.shape();
  return pass.tape.record(
      Tensor::scalar(static_cast<float>(sums.loss + spreads.loss)), {bounds},
      [=, centre = std::move(centre), state = std::move(state)](const Tensor& g, Adjoints& grads) {
        // The mean moves with every centre.
        const double by_mean = -2 *
                               (spreads.by_a * linear_active + spreads.by_b * linear_inactive) /
                               static_cast<double>(centre.size());
        Tensor result = Tensor::uninitialized(shape);
        for (std::size_t at = 0; at < centre.size(); ++at) {
          const double apart = centre[at] - mean;
          double by = by_mean;
          if (state[at] == State::active) by += sums.by_a + 2 * spreads.by_a * apart;
          if (state[at] == State::inactive) by += -sums.by_b + 2 * spreads.by_b * apart;
          const auto k = static_cast<std::int64_t>(at);
          result[k] = result[half + k] = static_cast<float>(0.5 * by * double{g.item()});
        }
        grads.add(bounds, std::move(result));
      });
}

template <class Loss>
Var mean_over(Pass& pass, std::span<const Var> layers, const Loss& loss) {
  require<ConfigError>(!layers.empty(),
                       "[interval] a network without ReLU has nothing to regularise");
  Var sum = loss(layers[0]);
  for (const Var layer : layers.subspan(1)) sum = add(pass, sum, loss(layer));
  return scale(pass, sum, 1.0f / static_cast<float>(layers.size()));
}

}  // namespace

Var tightness_loss(Pass& pass, Var box, std::span<const Var> before_relu, double tolerance) {
  const double width = pass.counting ? 0 : mean_width(pass.tape[box]);
  return mean_over(pass, before_relu,
                   [&](Var bounds) { return looseness(pass, bounds, width, tolerance); });
}

Var balance_loss(Pass& pass, std::span<const Var> before_relu, double tolerance) {
  return mean_over(pass, before_relu,
                   [&](Var bounds) { return imbalance_of(pass, bounds, tolerance); });
}

}  // namespace ebb
