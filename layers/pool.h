#pragma once

#include <cstdint>

#include "layers/pass.h"

namespace ebb {

/// A square window over images [batch, height, width, channels]; out_height = floor((height + 2 pad
/// - window) / stride) + 1.
struct PoolConfig {
  std::int64_t window = 2;
  std::int64_t stride = 2;
  std::int64_t pad = 0;  ///< padded positions never count
};

/// Largest element of every window; the first of equals in row order gets the gradient. A NaN in
/// the window is the result.
/// @throws ConfigError unless 1 <= window <= 15, stride >= 1 and 0 <= pad < window; ShapeError
/// unless x has rank 4 and room for a window
Var max_pool(Pass& pass, Var x, const PoolConfig& config);

/// Mean of every window over the elements inside the image, summed in row order in double and
/// rounded once.
/// @throws as max_pool
Var avg_pool(Pass& pass, Var x, const PoolConfig& config);

/// Mean over all positions: [batch, height, width, channels] to [batch, channels], summed as in
/// avg_pool.
/// @throws ShapeError unless x has rank 4 and at least one position
Var global_avg_pool(Pass& pass, Var x);

}  // namespace ebb
