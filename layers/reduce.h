#pragma once

#include "layers/pass.h"

namespace ebb {

/// Sums and means, in double and fixed order, rounded once (docs/NUMERICS.md). Negative axes count
/// from the end.

/// The sum, or mean, of all elements: a scalar.
Var sum(Pass& pass, Var x);
Var mean(Pass& pass, Var x);  ///< @throws ShapeError if there are none
/// Over one axis, which is removed: [a, b, c] along axis 1 becomes [a, c].
/// @throws ShapeError unless x has the axis
Var sum(Pass& pass, Var x, int axis);
Var mean(Pass& pass, Var x, int axis);  ///< @throws ShapeError also if the axis is empty

}  // namespace ebb
