#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/params.h"
#include "core/range.h"
#include "quant/operand.h"
#include "quant/plan.h"

namespace ebb {

/// How well one operand survived its encoding.
struct OperandQuality {
  std::string site;
  Role role = Role::weight;
  Format format;
  std::int64_t elements = 0;
  double at_ends = 0;  ///< share of codes at the lowest or highest code
  double zeros =
      0;  ///< share of codes that stand for the real number nearest to zero that the grid has
  double sqnr_db =
      0;  ///< 10 log10 (sum x^2 / sum (x - decoded)^2), in double; +inf when nothing was lost
  Granularity grid = Granularity::per_tensor;  ///< one grid, or one for each row or column
};

OperandQuality measure_quality(const ConstMatrix& x, const Operand& operand, const Site& site,
                               Role role);

/// What a pass found and leaves to its caller. A pass writes no parameter and no layer state, so
/// one that must leave no trace (an evaluation, a dry run, a step that is given up) is one whose
/// effects nobody applies.
struct Effects {
  /// What reached a layer in training, of all its uses in the pass. Its running range, [minimum,
  /// width, updates], moves towards that once.
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
  std::vector<OperandQuality> quality{};  ///< if asked for, see Pass::measure_quality

  /// Widens the range of a layer's input by that of one more use.
  void add_range(ParamId state, const Range& range);
  /// Updates the state: kinds one after the other, each in the order of the pass. Effects of several
  /// passes are applied in the passes' order.
  void apply_to(ParamStore& params) const;
};

/// Adds the running range state of a quantized input: [minimum, width, number of updates], all
/// zero.
ParamId add_running_range(ParamStore& params, const Site& site);

}  // namespace ebb
