#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/range.h"
#include "core/sums.h"
#include "layers/batch_norm.h"

namespace ebb {

/// A matrix [rows, channels] on its way into a batch norm: a value on the tape, or one that the
/// same op has just computed and that no other op gets to see.
struct NormInput {
  Shape shape;
  const float* data = nullptr;
  std::shared_ptr<const Tensor> owner = nullptr;          ///< of data, unless the tape is
  std::shared_ptr<const ColumnBlocks> columns = nullptr;  ///< summarised, if its producer did that
  std::vector<Var> inputs;                                ///< from which it was computed
  /// Goes on from its gradient, whose range may be known.
  std::function<void(Tensor&& g, const std::optional<Range>& range, Adjoints& grads)> backward;
};

/// Records relu(norm(x) + add), relu and add being optional, with its backward function.
Var normalise(Pass& pass, const BatchNorm& norm, const BatchNorm::Then& then, NormInput x);

}  // namespace ebb
