#pragma once

#include <cstdint>
#include <span>

#include "layers/pass.h"

namespace ebb {

/// Mean over the batch of -log softmax(logits)[label]: logits [batch, classes], a scalar. Exponentials, logarithms and sums are in
/// double, rows combined by tree_sum, and the mean is rounded once.
/// @throws ShapeError unless logits are [batch, classes] with batch >= 1 and one label a row; DataError for a label outside 0 ..
/// classes-1
Var softmax_cross_entropy(Pass& pass, Var logits, std::span<const std::int32_t> labels);

/// Rows whose largest logit (the first of equals) is that of the label. A row with a NaN counts as wrong.
/// @throws ShapeError unless logits are [batch, classes] with one label a row
std::int64_t count_correct(const Tensor& logits, std::span<const std::int32_t> labels);

}  // namespace ebb
