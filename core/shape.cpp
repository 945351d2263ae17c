#include "core/shape.h"

#include "core/error.h"

namespace ebb {

Shape::Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  require<ShapeError>(extents.size() <= kMaxRank, "[shape] at most ", kMaxRank,
                      " axes are supported, got ", extents.size());
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    const std::int64_t extent = extents[axis];
    require<ShapeError>(extent >= 0, "[shape] extents cannot be negative, got ", extent,
                        " for axis ", axis);
    require<ShapeError>(extent == 0 || size_ <= ((std::int64_t{1} << 62) - 1) / extent,
                        "[shape] too many elements");
    extents_[axis] = extent;
    size_ *= extent;
  }
}

std::string to_text(const Shape& shape) {
  std::string text = "[";
  for (int axis = 0; axis < shape.rank(); ++axis)
    text += (axis == 0 ? "" : ", ") + to_text(shape[axis]);
  return text + "]";
}

}  // namespace ebb
