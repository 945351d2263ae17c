#pragma once

#include <cstdint>

#include "layers/pass.h"

namespace ebb {

/// Every pixel becomes a square of factor x factor: [batch, height, width, channels] to [batch,
/// factor height, factor width, channels]. Its gradient is the sum over the square in row order, in
/// double, rounded once.
/// @throws ShapeError unless x has rank 4; ConfigError unless factor >= 1
Var upsample_nearest(Pass& pass, Var x, std::int64_t factor = 2);

}  // namespace ebb
