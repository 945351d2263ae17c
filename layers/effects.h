#pragma once

#include <cstdint>
#include <vector>

#include "core/params.h"
#include "core/range.h"
#include "core/tensor.h"
#include "quant/plan.h"

namespace ebb {

/// What a pass found and leaves to its caller. A pass writes no parameter and no layer state, so
/// one that must leave no trace (an evaluation, a dry run, a step that is given up) is one whose
/// effects nobody applies.
struct Effects {
  /// The range of a layer's inputs in training, over all its uses in the pass. The layer's running
  /// range, [minimum, width, updates], moves towards it once.
  struct InputRange {
    ParamId state;
    Range range;
  };
  /// state = (1 - momentum) state + momentum now, in double, rounded once.
  struct Average {
    ParamId state;
    double momentum;
    std::vector<double> now;
  };
  /// What a layer hands to the next iteration as it is, such as the state of a recurrence.
  struct Value {
    ParamId state;
    Tensor value;
  };

  std::vector<InputRange> ranges{};
  std::vector<Average> averages{};
  std::vector<Value> values{};

  /// Widens the range of a layer's input by that of one more use.
  void add_range(ParamId state, const Range& range);
  /// Updates the state: first all ranges, then all averages, then all values, each in the order of
  /// the pass. Effects of several passes are applied in the passes' order.
  void apply_to(ParamStore& params) const;
};

/// Adds the running range state of a quantized input: [minimum, width, number of updates], all
/// zero.
ParamId add_running_range(ParamStore& params, const Site& site);

}  // namespace ebb
