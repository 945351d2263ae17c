#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/key.h"
#include "core/params.h"
#include "core/tensor.h"
#include "layers/pass.h"

namespace ebb {

/// One element of a gradient and the difference quotient that it should equal.
struct CheckedGradient {
  std::string of;            ///< "input 0", or the parameter's name
  std::int64_t element = 0;  ///< index of the element
  double gradient = 0, difference = 0;
  double tolerance = 0;  ///< how far rounding and truncation can set the two apart

  [[nodiscard]] bool agrees() const;
};
/// "input 0[3]: gradient 1.5, difference quotient 2 +- 0.001".
std::string to_text(const CheckedGradient& checked);

using DifferentiableOp = std::function<Var(Pass& pass, const std::vector<Var>& inputs)>;

/// Compares the gradients of sum(op(inputs) r), r random, by all inputs and all parameters of the
/// store with central differences at fp32, for up to some 40 elements of each; keep away from
/// kinks.
///
/// With D(h) the difference quotient at step h = 3e-3 and D the derivative, D(h) - D is c h^2 +
/// O(h^4) and D(2h) - D(h) is 3 c h^2, so its magnitude bounds the truncation. Every output is off
/// by at most `roundings` units of the largest output, and outputs that do not move cancel exactly:
/// both quotients together are off by at most 2 roundings units max|y| sum |r| / h over the outputs
/// that move, which also covers the rounding of the gradient itself while slopes stay below max|y|
/// / h. A gradient that is 0 because its terms cancel (a bias of attention's keys) is off by
/// roundings of terms as large as its tensor's largest element. `roundings` is about the number of
/// float32 operations behind one output. All random draws of the op come from `key`.
/// @throws ShapeError unless every gradient has the shape of its input or parameter
std::vector<CheckedGradient> check_gradients(ParamStore& params, std::vector<Tensor> inputs,
                                             double roundings, const DifferentiableOp& op,
                                             Key key = Key(1));
/// Those of them that do not agree: empty for a right backward function.
std::vector<CheckedGradient> wrong_gradients(ParamStore& params, std::vector<Tensor> inputs,
                                             double roundings, const DifferentiableOp& op,
                                             Key key = Key(1));

}  // namespace ebb
