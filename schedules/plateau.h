#pragma once

#include <limits>

namespace ebb {

/// The controller of learning rates that follow the evaluations: whenever one brings no new low of the loss, the rate is multiplied
/// by `factor` for good. Its whole state is public.
struct Plateau {
  double factor = 0.25;
  double lowest = std::numeric_limits<double>::infinity();
  double multiplier = 1;  ///< of the scheduled rate

  void observe(double loss) {
    if (loss < lowest) {
      lowest = loss;
    } else {
      multiplier *= factor;
    }
  }
};

}  // namespace ebb
