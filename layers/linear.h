#pragma once

#include <cstdint>
#include <optional>

#include "layers/pass.h"

namespace ebb {

/// y = x w^T + b over the last axis: x [..., in], w [out, in], b [out], y [..., out].
///
/// | forward      y  = x w^T     x one grid, w one grid per output
/// | grad_left    gx = g w       g one grid, encoded once for both products; w encoded anew, one
/// |                             grid per input
/// | grad_right   gw = g^T x     on the codes of x that the forward product used
///
/// The bias is neither quantized nor charged: it is added in float32 after the product. Its
/// gradient is the column sum of the unquantized g, in double and fixed order, rounded once.
/// (Reference code quantizes the bias, and sums the quantized g.)
struct Linear {
  Site site;
  ParamId weight, bias, input_range;  ///< bias has index -1 if there is none

  /// Adds "<site>.weight", "<site>.bias" and the running range of the input to the store.
  /// @throws ShapeError unless weight is [out, in] and bias, if any, [out]; ConfigError if a name
  /// is taken
  static Linear create(ParamStore& params, Site site, Tensor weight, std::optional<Tensor> bias);

  /// @throws ShapeError unless x is [..., in] with at least one axis before the last
  Var operator()(Pass& pass, Var x) const { return with(pass, x, pass.tape.parameter(weight)); }
  /// The same with other weights [out, in], of any number of outputs that fits the bias.
  Var with(Pass& pass, Var x, Var w) const;
};

/// Gradient of a bias: the column sums of g, see Linear.
Tensor bias_gradient(const Tensor& g, Simd simd);

/// The same and the range of g, which are found in one reading.
struct GradientSummary {
  Tensor bias;
  std::optional<Range> range;
};
GradientSummary summarise_gradient(const Tensor& g, Simd simd);

}  // namespace ebb
