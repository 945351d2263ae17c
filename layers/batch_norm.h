#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "layers/pass.h"

namespace ebb {

/// Batch normalisation over the last axis, in float32:  y = (x - mean) weight / sqrt(var + epsilon)
/// + bias  by channel.
///
/// In training mean and (biased) variance are those of the batch, column_moments() of core/sums.h,
/// and the running ones move by running = (1 - momentum) running + momentum current, the variance
/// unbiased, as in PyTorch. In evaluation the running ones are used, and gradients treat them as
/// constants. Source: Ioffe & Szegedy, "Batch normalization", ICML 2015.
///
/// What follows a normalisation in a network can be done in the same pass over memory: y =
/// relu(norm(x) + add). The result is bit for bit that of the separate ops.
struct BatchNorm {
  struct Then {
    std::optional<Var> add = std::nullopt;  ///< a value of x's shape
    bool relu = false;
  };

  ParamId weight, bias, running_mean, running_var;  ///< [channels] each, starting at 1, 0, 0, 1
  double momentum = 0.1;
  double epsilon = 1e-5;
  bool frozen = false;  ///< in training as in evaluation: running statistics, which stay, and no
                        ///< gradient of weight and bias, so that no optimizer moves them

  /// Adds "<name>.scale" (the weight), "<name>.shift" (the bias), "<name>.running_mean" and
  /// "<name>.running_var" to the store. @throws ConfigError if one is taken
  static BatchNorm create(ParamStore& params, const std::string& name, std::int64_t channels);

  /// x [..., channels]. @throws ShapeError for another number of channels, for an `add` of another
  /// shape, or in training unless there are at least two values per channel
  Var operator()(Pass& pass, Var x, const Then& then) const;
  Var operator()(Pass& pass, Var x) const { return (*this)(pass, x, Then{}); }
};

}  // namespace ebb
