#include <algorithm>
#include <cmath>
#include <span>

#include "core/math.h"
#include "schedules/controller.h"

namespace ebb {
namespace {

constexpr Hyperparameter kHyperparameters[] = {
    {"window", 50, "a whole number from 2 to 1e6",
     [](double x) { return x >= 2 && x <= 1e6 && x == std::floor(x); }},
    {"weight", 0.05, "0 to 1", [](double x) { return x >= 0 && x <= 1; }},
    {"history", 10, "a whole number from 2 to 1000",
     [](double x) { return x >= 2 && x <= 1000 && x == std::floor(x); }},
    {"limit", 4, "1 and more, and finite", [](double x) { return x >= 1 && std::isfinite(x); }}};

constexpr ControllerState kState[] = {{"product", 1}, {"updates", 0, true}, {"ignored", 0, true}};
constexpr ControllerWord kWords[] = {{"metric", "train_accuracy"}};
constexpr double kLeast = 1e-8;  // an accuracy of 0 has no logarithm

/// With the divisor n - 1.
double deviation(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  for (const double value : values) squares += (value - sum / n) * (value - sum / n);
  return std::sqrt(squares / (n - 1));
}

/// What the last window multiplies the value by: above 1 where it was calmer than the longer past.
double factor_of(std::span<const double> past, std::size_t window, double weight) {
  if (past.size() < window + 1) return 1;
  std::vector<double> ratios;
  for (std::size_t i = 0; i + 1 < past.size(); ++i)
    ratios.push_back(math::log(std::max(past[i + 1], kLeast) / std::max(past[i], kLeast)));
  const double all = deviation(ratios), last = deviation(std::span(ratios).last(window));
  if (!(all > 0 && last > 0 && std::isfinite(all / last))) return 1;
  const double step = math::log(1 + weight * std::fabs(all / last - 1));
  return all > last ? 1 + step : 1 - step;
}

void observe(Controller& it, const Observation& observation) {
  const std::optional<double> seen = it.seen(observation);
  if (!seen) return;
  const auto window = static_cast<std::size_t>(number_of(it.hyperparameters, "window"));
  const auto most = window * static_cast<std::size_t>(number_of(it.hyperparameters, "history"));
  it.series.push_back(*seen);
  if (it.series.size() > most) it.series.erase(it.series.begin());
  double& updates = number_of(it.state, "updates");
  updates += 1;
  if (static_cast<std::uint64_t>(updates) % window != 0) return;
  const double limit = number_of(it.hyperparameters, "limit");
  double& product = number_of(it.state, "product");
  product =
      std::clamp(product * factor_of(it.series, window, number_of(it.hyperparameters, "weight")),
                 1 / limit, limit);
}

}  // namespace

/// Every `window` updates the value is multiplied by 1 + ln(1 + weight (R - 1)), or 1 - ln(1 +
/// weight (1 - R)) for R < 1: R is the deviation of the log-ratios of the metric over the last
/// `history` windows, divided by that over the last one. The product is held within 1 / limit and
/// limit. Source: Kieran Chai Kai Ren, arXiv 2507.10575, whose recursion is this times a cosine
/// sampled every window.
extern constinit const ControllerRule kVolSched{
    .name = "volsched",
    .hyperparameters = kHyperparameters,
    .state = kState,
    .observe = observe,
    .value = [](const Controller& it) { return number_of(it.state, "product"); },
    .words = kWords,
    .required = 2,
    .series = true};

}  // namespace ebb
