#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "schedules/bound.h"

namespace ebb {

/// How far the last iterate of SGD on a convex problem can be from the optimum: with update k
/// x' = x - gamma h_k g_k, |g_k| <= G_k and D = |x_0 - x*|,
///   Omega(gamma) = distance / gamma + gamma * noise.
/// Source: Schaipp et al., arXiv 2501.18965. Values are worst cases, not losses: compare shapes,
/// ratios and minima.
struct LastIterateBound {
  double distance = 0;  ///< D^2 / (2 S_0), S_k the sum of h_k and all after it
  double noise = 0;     ///< Q_0 / (2 S_0) + 1/2 sum h_k Q_k / (S_{k+1} S_k), Q_k the sum of h^2 G^2

  double omega(double gamma) const { return distance / gamma + gamma * noise; }
  /// The gamma of the lowest bound, and that bound.
  double best_gamma() const;
  double best() const;
};

/// The bound of steps h_0 .. h_{n-1}, summed from the end. Steps of 0 at the end are left out.
/// @param norms G, one for all steps or one each (more are ignored)
/// @throws ConfigError unless steps are finite, >= 0 and one is positive, norms are finite, >= 0
/// and one is positive, and D > 0
LastIterateBound last_iterate_bound(std::span<const double> steps, std::span<const double> norms,
                                    double distance = 1);

/// Omega at gamma after each of the updates 1 .. n: O(n^2).
/// @throws ConfigError as last_iterate_bound, and if the first step is 0
std::vector<double> last_iterate_path(std::span<const double> steps, std::span<const double> norms,
                                      double distance, double gamma);

/// Every value of a schedule, as steps. @throws ConfigError for a name, or more than 1e8 updates
std::vector<double> steps_of(const Bound& schedule);

/// What keeps the best gamma of a run of `updates` updates with linear decay over the last share
/// `cooldown` of it, for a run of `longer` updates.
struct Extension {
  double plateau = 1;   ///< factor of the rate from update (1 - cooldown) updates on
  double cooldown = 0;  ///< or else the share of the decay; 1 where even that is too little
};
/// Source: as last_iterate_bound. @throws ConfigError unless 0 < cooldown < 1 and updates < longer
Extension extend_plateau(std::int64_t updates, std::int64_t longer, double cooldown);

}  // namespace ebb
