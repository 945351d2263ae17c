#pragma once

#include "core/tape.h"

namespace ebb {

/// Adds the gradients of another micro-batch, element by element; what either side lacks counts as
/// zero. The sum of micro-batches' gradients, each swept with scale = its share of the batch, is
/// the gradient of the whole batch's mean loss.
/// @throws ShapeError unless both belong to the same store
void accumulate(Gradients& sum, Gradients more);

/// Square root of the sum of squares of all elements: sum_of_squares of each tensor, then tree_sum
/// over the tensors in order.
double global_norm(const Gradients& gradients);

/// Multiplies all gradients by largest / norm if their global norm is above `largest`. Returns the
/// norm before clipping.
/// @throws ConfigError unless largest > 0; NonFiniteError if the norm is not finite, since scaling
/// by zero would hide it
double clip_global_norm(Gradients& gradients, double largest);

}  // namespace ebb
