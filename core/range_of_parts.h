#pragma once

#include <algorithm>
#include <limits>
#include <mutex>

#include "core/range.h"

namespace ebb {

/// Collects the range of a whole from its parts, in any order and from any thread: minimum and
/// maximum do not depend on order.
class RangeOfParts {
 public:
  void add(bool finite, float low, float high) {
    const std::scoped_lock lock(mutex_);
    finite_ = finite_ && finite;
    min_ = started_ ? std::min(min_, low) : low;
    max_ = started_ ? std::max(max_, high) : high;
    started_ = true;
  }
  void add(const Range& part) { add(part.finite(), part.min, part.max); }
  /// A negative zero counts as zero.
  [[nodiscard]] Range range() const {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    return finite_ ? Range{min_ + 0.0f, max_ + 0.0f} : Range{nan, nan};
  }

 private:
  std::mutex mutex_;
  bool finite_ = true, started_ = false;
  float min_ = 0, max_ = 0;
};

}  // namespace ebb
