#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/shape.h"

namespace ebb {

/// A shape seen from one of its axes: [outer, extent, inner].
struct AxisView {
  int axis = 0;  ///< counted from the front
  std::int64_t outer = 1, extent = 1, inner = 1;
};
/// @throws ShapeError unless -rank <= axis < rank
AxisView view_along(std::string_view op, const Shape& shape, int axis);

/// The extents of a shape, to be changed.
std::vector<std::int64_t> extents_of(const Shape& shape);

}  // namespace ebb
