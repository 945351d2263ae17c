#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/pass.h"

namespace ebb {

/// Values rearranged, without arithmetic. Results are copies. Negative axes count from the end.

/// [batch, ...] to [batch, the rest]. @throws ShapeError for a scalar
Var flatten(Pass& pass, Var x);
/// The same elements in the same order under another shape. @throws ShapeError unless the sizes
/// agree
Var reshape(Pass& pass, Var x, const Shape& shape);
/// Axis i of the result is axis axes[i] of x: axes {2, 0, 1} turn [a, b, c] into [c, a, b].
/// @throws ShapeError unless the axes are those of x, each once
Var permute(Pass& pass, Var x, const std::vector<int>& axes);
/// Two axes swapped: by default the transpose of a matrix, or of each matrix of a batch.
/// @throws ShapeError unless x has both axes
Var transpose(Pass& pass, Var x, int axis0 = -2, int axis1 = -1);
/// Elements first .. last - 1 of an axis: [a, b, c] along axis 1 to [a, last - first, c].
/// @throws ShapeError unless x has the axis and 0 <= first <= last <= its extent
Var slice(Pass& pass, Var x, int axis, std::int64_t first, std::int64_t last);
/// Values one after the other along an axis: [a, b1, c] and [a, b2, c] along axis 1 to [a, b1 + b2,
/// c].
/// @throws ShapeError unless there is a value, they have the axis, and their shapes agree but for
/// it
Var cat(Pass& pass, const std::vector<Var>& xs, int axis);

}  // namespace ebb
