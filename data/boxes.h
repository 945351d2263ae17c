#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ebb {

/// A box in pixels, with edges between pixels: the box of a whole picture is [0, 0, width, height].
struct Box {
  float left = 0, top = 0, right = 0, bottom = 0;

  [[nodiscard]] float width() const { return right - left; }
  [[nodiscard]] float height() const { return bottom - top; }
  friend bool operator==(const Box&, const Box&) = default;
};

/// What is to be found in a picture.
struct BoxLabel {
  Box box{};
  std::int32_t label = 0;  ///< 0 .. classes-1
  bool difficult = false;  ///< VOC: neither trained on nor counted
  bool crowd = false;      ///< COCO: a group; detections in it are neither right nor wrong
  bool truncated = false;  ///< VOC: reaches beyond the picture; for information only
};

/// What was found in a picture.
struct Detection {
  Box box{};
  std::int32_t label = 0;
  float score = 0;
};

/// Intersection over union, in double; 0 where the union has no area.
double intersection_over_union(const Box& a, const Box& b);

}  // namespace ebb
