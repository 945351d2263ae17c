#pragma once

#include <string_view>

#include "layers/pass.h"

namespace ebb {

/// Functions of one value, element by element, in float32 and without a product. A NaN passes
/// through, so that it is noticed where it is encoded. docs/NUMERICS.md has the roundings.

/// max(x, 0). The gradient at 0 is 0.
Var relu(Pass& pass, Var x);
/// x where it is positive, else negative_slope x. The gradient at 0 is that of the negative side,
/// as in PyTorch.
Var leaky_relu(Pass& pass, Var x, float negative_slope = 0.01f);
/// 1 / (1 + e^-x).
Var sigmoid(Pass& pass, Var x);
Var tanh(Pass& pass, Var x);
/// e^x; 0 for x below -86.9.
Var exp(Pass& pass, Var x);
/// The natural logarithm; -infinity at 0, NaN below.
Var log(Pass& pass, Var x);
/// NaN for x < 0; the gradient at 0 is infinite.
Var sqrt(Pass& pass, Var x);
/// |x|. The gradient at 0 is 0.
Var abs(Pass& pass, Var x);
/// x held to min .. max. The gradient is that of x from min to max, ends included, and 0 outside,
/// as in PyTorch.
/// @throws ConfigError unless min <= max
Var clamp(Pass& pass, Var x, float min, float max);
/// factor x.
Var scale(Pass& pass, Var x, float factor);

/// Functions of two values of one shape; or y is broadcast over leading axes of x that it lacks,
/// such as [d, e] beside [b, c, d, e], or a scalar. Unlike in PyTorch, axes of extent 1 are not
/// broadcast, nor is x. The gradient of a broadcast y is the sum over the broadcast axes, in double
/// and fixed order (column sums of core/sums.h; of the exact products g x in mul), rounded once.
/// @throws ShapeError unless y's shape is that of x's last axes
Var add(Pass& pass, Var x, Var y);
Var sub(Pass& pass, Var x, Var y);
Var mul(Pass& pass, Var x, Var y);

/// In training, sets every element to zero with the given probability (rounded to a multiple of
/// 2^-32) and multiplies the others by 1 / (1 - probability); in evaluation, or with a probability
/// of 0, returns x itself. Element i draws word i % 4 of Philox block i / 4 under the key of
/// `name`.
/// @throws ConfigError unless 0 <= probability < 1
Var dropout(Pass& pass, Var x, double probability, std::string_view name);

}  // namespace ebb
