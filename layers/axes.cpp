#include "layers/axes.h"

#include "core/error.h"

namespace ebb {

AxisView view_along(std::string_view op, const Shape& shape, int axis) {
  const int rank = shape.rank();
  require<ShapeError>(axis >= -rank && axis < rank, "[", op, "] expected an axis of ", shape,
                      ", which has ", rank, ", got ", axis);
  AxisView view{.axis = axis < 0 ? axis + rank : axis};
  for (int i = 0; i < view.axis; ++i) view.outer *= shape[i];
  view.extent = shape[view.axis];
  for (int i = view.axis + 1; i < rank; ++i) view.inner *= shape[i];
  return view;
}

std::vector<std::int64_t> extents_of(const Shape& shape) {
  return {shape.extents().begin(), shape.extents().end()};
}

}  // namespace ebb
