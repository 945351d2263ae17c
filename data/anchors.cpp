#include "data/anchors.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"

namespace ebb {
namespace {

/// Centre and size.
struct Extent {
  double x, y, width, height;
};

Extent extent_of(const Box& box) {
  const double left = box.left, top = box.top, right = box.right, bottom = box.bottom;
  return {0.5 * (left + right), 0.5 * (top + bottom), right - left, bottom - top};
}

Box box_of(const Extent& e) {
  return {static_cast<float>(e.x - 0.5 * e.width), static_cast<float>(e.y - 0.5 * e.height),
          static_cast<float>(e.x + 0.5 * e.width), static_cast<float>(e.y + 0.5 * e.height)};
}

}  // namespace

Anchors make_anchors(const AnchorConfig& config, std::int64_t height, std::int64_t width) {
  require<ConfigError>(
      !config.strides.empty() && std::ranges::min(config.strides) >= 1 && config.base > 0,
      "[anchors] expected positive strides and a positive base, got ", config.strides.size(),
      " strides and ", config.base);
  Anchors anchors;
  for (const std::int64_t stride : config.strides) {
    const auto step = static_cast<double>(stride);
    for (std::int64_t y = 0; y * stride < height; ++y) {
      for (std::int64_t x = 0; x * stride < width; ++x) {
        for (const double size : kAnchorSizes) {
          const double side = config.base * step * size;
          for (const double ratio : kAnchorRatios)
            anchors.boxes.push_back(box_of({(static_cast<double>(x) + 0.5) * step,
                                            (static_cast<double>(y) + 0.5) * step,
                                            side / std::sqrt(ratio), side * std::sqrt(ratio)}));
        }
      }
    }
    anchors.ends.push_back(std::ssize(anchors.boxes));
  }
  return anchors;
}

std::vector<Match> match_anchors(std::span<const Box> anchors, std::span<const BoxLabel> boxes,
                                 const MatchThresholds& thresholds) {
  require<ConfigError>(
      thresholds.ignored > 0 && thresholds.ignored <= thresholds.found && thresholds.found <= 1,
      "[anchors] expected overlaps 0 < ignored <= found <= 1, got ", thresholds.ignored, " and ",
      thresholds.found);
  std::vector<Match> matches(anchors.size());
  const auto match = [&](const Box& anchor) -> Match {
    double best = 0, any = 0;
    std::int32_t of_best = -1;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const double overlap = intersection_over_union(anchor, boxes[i].box);
      any = std::max(any, overlap);
      if (boxes[i].difficult || boxes[i].crowd || overlap <= best) continue;
      best = overlap;
      of_best = static_cast<std::int32_t>(i);
    }
    if (best >= thresholds.found) return {Match::Kind::box, of_best};
    return {any >= thresholds.ignored ? Match::Kind::ignored : Match::Kind::nothing};
  };
  constexpr std::int64_t kCostOfOverlap = 16;  // in additions
  parallel_rows(std::ssize(anchors), std::ssize(boxes) * kCostOfOverlap,
                [&](std::int64_t first, std::int64_t last) {
                  for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last);
                       ++i)
                    matches[i] = match(anchors[i]);
                });
  return matches;
}

std::array<float, 4> encode_box(const Box& anchor, const Box& box) {
  const Extent from = extent_of(anchor), to = extent_of(box);
  const std::array values{(to.x - from.x) / from.width, (to.y - from.y) / from.height,
                          math::log(to.width / from.width), math::log(to.height / from.height)};
  std::array<float, 4> code{};
  for (std::size_t i = 0; i < code.size(); ++i)
    code[i] = static_cast<float>(values[i] / kBoxDeviations[i]);
  return code;
}

Box decode_box(const Box& anchor, std::span<const float, 4> code) {
  const Extent from = extent_of(anchor);
  std::array<double, 4> values{};
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<double>(code[i]) * kBoxDeviations[i];
  const auto growth = [](double logarithm) {
    return logarithm < math::log(kLargestGrowth) ? math::exp(logarithm) : kLargestGrowth;
  };
  return box_of({from.x + values[0] * from.width, from.y + values[1] * from.height,
                 from.width * growth(values[2]), from.height * growth(values[3])});
}

}  // namespace ebb
