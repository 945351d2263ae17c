#pragma once

namespace ebb {

/// Smallest and largest element. Not finite (both NaN) when any element is NaN or infinite; an
/// empty range is 0 .. 0.
struct Range {
  float min = 0.0f, max = 0.0f;
  [[nodiscard]] bool finite() const { return min - min == 0.0f && max - max == 0.0f; }
  friend bool operator==(const Range&, const Range&) = default;
};

}  // namespace ebb
