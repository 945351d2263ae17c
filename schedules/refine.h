#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ebb {

struct Refinement {
  int power = 2;        ///< weights are G^-power: 2 for SGD by 2-norms, 1 for Adam by 1-norms
  double window = 0.1;  ///< share of the run over which the running median is taken; 0: none
  bool extend = false;  ///< repeat the last norm once, so that the last rate is not 0
};

/// The rates of a schedule made for a run with such gradient norms, divided by the largest; and
/// what should be known of them, each a sentence.
struct RefinedSchedule {
  std::vector<double> rates;
  std::vector<std::string> warnings;
};

/// The schedule that is optimal for gradient norms G_t: with w_t = G_t^-power, eta_t = w_t times
/// the sum of all later w. Norms are smoothed by a running median of 2 floor(window T / 2) + 1 of
/// them, the first repeated at the left, mirrored at the right without repeating the last. Norms
/// that are not finite are left out; those below a hundredth of the median count as that. Source:
/// Defazio et al., arXiv 2310.07831.
/// @throws ConfigError for settings out of range; DataError for fewer than 3 norms, a negative one,
/// a median of 0, and where the rates peak in the last 5 % of the run, as they do when the
/// gradients vanish because the training data are learnt by heart
RefinedSchedule refine(std::span<const double> norms, const Refinement& settings = {});

/// Of each of so many equal shares of the run, the mean rate.
std::vector<double> shares_of(std::span<const double> rates, std::size_t shares);

}  // namespace ebb
