#include "schedules/last_iterate.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace ebb {
namespace {

constexpr std::int64_t kMostSteps = 100'000'000;

void check(std::span<const double> steps, std::span<const double> norms, double distance) {
  require<ConfigError>(distance > 0 && std::isfinite(distance),
                       "[bound] expected a distance D > 0, got ", distance);
  double most = 0, most_norm = 0;
  for (std::size_t k = 0; k < steps.size(); ++k) {
    require<ConfigError>(steps[k] >= 0 && std::isfinite(steps[k]), "[bound] step ", k, " is ",
                         steps[k], "; the bound is of steps that are finite and not negative");
    most = std::max(most, steps[k]);
  }
  require<ConfigError>(most > 0, "[bound] expected a step above 0, got ", steps.size(),
                       " that all are 0");
  require<ConfigError>(norms.size() == 1 || norms.size() >= steps.size(), "[bound] expected ",
                       steps.size(), " gradient norms, one per step, or one for all, got ",
                       norms.size());
  for (std::size_t k = 0; k < norms.size(); ++k) {
    require<ConfigError>(norms[k] >= 0 && std::isfinite(norms[k]), "[bound] gradient norm ", k,
                         " is ", norms[k], "; expected a finite number >= 0");
    most_norm = std::max(most_norm, norms[k]);
  }
  require<ConfigError>(most_norm > 0, "[bound] expected a gradient norm above 0, got ",
                       norms.size(), " that all are 0");
}

/// Of steps whose last is above 0.
LastIterateBound bound_of(std::span<const double> steps, std::span<const double> norms,
                          double distance) {
  double sum = 0, squares = 0, mixed = 0;
  for (std::size_t k = steps.size(); k-- > 0;) {
    const double step = steps[k], product = step * norms[norms.size() == 1 ? 0 : k];
    const double after = sum;
    sum += step;
    squares += product * product;
    if (step > 0 && after > 0) mixed += step * squares / (after * sum);
  }
  return {.distance = distance * distance / (2 * sum), .noise = squares / (2 * sum) + mixed / 2};
}

std::span<const double> until_last_positive(std::span<const double> steps) {
  while (!steps.empty() && steps.back() == 0) steps = steps.first(steps.size() - 1);
  return steps;
}

/// 1, then `factor` from update `from` on, with linear decay over the last `decay` updates.
std::vector<double> plateau(std::int64_t updates, std::int64_t decay, std::int64_t from,
                            double factor) {
  std::vector<double> steps(static_cast<std::size_t>(updates));
  for (std::int64_t t = 0; t < updates; ++t) {
    const std::int64_t left = updates - t;
    const double falling =
        left < decay ? static_cast<double>(left) / static_cast<double>(decay) : 1.0;
    steps[static_cast<std::size_t>(t)] = falling * (t < from ? 1.0 : factor);
  }
  return steps;
}

std::int64_t updates_of(double share, std::int64_t updates) {
  return std::max<std::int64_t>(1, std::llround(share * static_cast<double>(updates)));
}

/// Where a function that falls from above the target crosses it, in [low, high].
template <class Function>
double crossing(double low, double high, double target, const Function& f) {
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    (f(middle) > target ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace

double LastIterateBound::best_gamma() const { return std::sqrt(distance / noise); }
double LastIterateBound::best() const { return 2 * std::sqrt(distance * noise); }

LastIterateBound last_iterate_bound(std::span<const double> steps, std::span<const double> norms,
                                    double distance) {
  check(steps, norms, distance);
  return bound_of(until_last_positive(steps), norms, distance);
}

std::vector<double> last_iterate_path(std::span<const double> steps, std::span<const double> norms,
                                      double distance, double gamma) {
  check(steps, norms, distance);
  require<ConfigError>(steps[0] > 0, "[bound] the first step is 0: there is no bound after it");
  std::vector<double> path;
  path.reserve(steps.size());
  for (std::size_t n = 1; n <= steps.size(); ++n)
    path.push_back(bound_of(until_last_positive(steps.first(n)), norms, distance).omega(gamma));
  return path;
}

std::vector<double> steps_of(const Bound& schedule) {
  require<ConfigError>(schedule.updates() <= kMostSteps, "[bound] expected at most ", kMostSteps,
                       " updates, got ", schedule.updates());
  std::vector<double> steps(static_cast<std::size_t>(schedule.updates()));
  for (std::int64_t t = 0; t < schedule.updates(); ++t)
    steps[static_cast<std::size_t>(t)] = schedule(t);
  return steps;
}

Extension extend_plateau(std::int64_t updates, std::int64_t longer, double cooldown) {
  require<ConfigError>(cooldown > 0 && cooldown < 1,
                       "[transfer] expected a cooldown above 0 and below 1, got ", cooldown);
  require<ConfigError>(
      updates >= 2 && updates < longer && longer <= kMostSteps / 100,
      "[transfer] expected a run of 2 updates or more and a longer one of at most ",
      kMostSteps / 100, ", got ", updates, " and ", longer);
  const double one[] = {1.0};
  const auto best_gamma = [&](std::int64_t length, std::int64_t decay, double factor,
                              std::int64_t from) {
    return bound_of(plateau(length, decay, from, factor), one, 1).best_gamma();
  };
  const std::int64_t decay = updates_of(cooldown, updates), from = updates - decay;
  const double target = best_gamma(updates, decay, 1, updates);
  Extension extension;
  extension.plateau = crossing(0, 1, target, [&](double factor) {
    return best_gamma(longer, updates_of(cooldown, longer), factor, from);
  });
  // Less of a plateau allows for a larger gamma: minus that falls as the share of the decay grows.
  const auto with_share = [&](double share) {
    return -best_gamma(longer, updates_of(share, longer), 1, longer);
  };
  extension.cooldown = with_share(1) > -target ? 1 : crossing(cooldown, 1, -target, with_share);
  return extension;
}

}  // namespace ebb
