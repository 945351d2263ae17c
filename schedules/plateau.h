#pragma once

#include <cstdint>
#include <limits>

namespace ebb {

/// The controller of learning rates that follow the evaluations: whenever one brings no new low of
/// the loss, the rate is multiplied by `factor` for good. A loss that is NaN is counted and changes
/// nothing else. Its whole state is public.
struct Plateau {
  double factor = 0.25;
  double lowest = std::numeric_limits<double>::infinity();
  double multiplier = 1;     ///< of the scheduled rate
  std::int64_t ignored = 0;  ///< evaluations whose loss was NaN

  void observe(double loss) {
    if (loss != loss) {
      ++ignored;
    } else if (loss < lowest) {
      lowest = loss;
    } else {
      multiplier *= factor;
    }
  }
};

}  // namespace ebb
