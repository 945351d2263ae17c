#pragma once

#include <cstdint>
#include <span>

#include "layers/pass.h"

namespace ebb {

/// Rows of a table [entries, width] by id: [ids, width], float32 and without a product. The
/// gradient of a row is the sum of those of its uses, added in double in the order of the ids and
/// rounded once; rows without a use get 0.
/// @throws ShapeError unless the table is a matrix and there is an id; DataError for an id outside
/// 0 .. entries-1
Var embedding(Pass& pass, ParamId table, std::span<const std::int32_t> ids);

}  // namespace ebb
