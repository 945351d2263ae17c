#pragma once

#include <string_view>

#include "layers/pass.h"

namespace ebb {

/// max(x, 0). The gradient at 0 is 0; a NaN passes through, so that it is noticed where it is encoded.
Var relu(Pass& pass, Var x);

/// x + y of one shape, the residual sum. @throws ShapeError unless the shapes agree
Var add(Pass& pass, Var x, Var y);

/// In training, sets every element to zero with the given probability (rounded to a multiple of 2^-32) and multiplies the others by
/// 1 / (1 - probability); in evaluation, or with a probability of 0, returns x itself. Element i draws word i % 4 of Philox block i
/// / 4 under the key of `name`.
/// @throws ConfigError unless 0 <= probability < 1
Var dropout(Pass& pass, Var x, double probability, std::string_view name);

/// [batch, ...] to [batch, the rest]. @throws ShapeError for a scalar
Var flatten(Pass& pass, Var x);

}  // namespace ebb
