#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "data/boxes.h"

namespace ebb {

/// The boxes that a detector starts from: around the centre of every stride x stride square of a
/// picture there are nine, three sizes of three shapes, for every stride.
struct AnchorConfig {
  std::vector<std::int64_t> strides{8, 16, 32, 64, 128};
  double base = 4;  ///< side of the smallest square one, in strides
};

inline constexpr std::array kAnchorRatios{0.5, 1.0, 2.0};  ///< height over width, at equal area
/// 1, 2^(1/3) and 2^(2/3): sides over the base.
inline constexpr std::array kAnchorSizes{1.0, 1.2599210498948732, 1.5874010519681994};
inline constexpr std::int64_t kAnchorsAPlace = std::ssize(kAnchorSizes) * std::ssize(kAnchorRatios);

/// All anchors of a picture, level after level, in each row by row, at each place size by size, of
/// each size ratio by ratio. They may reach outside.
struct Anchors {
  std::vector<Box> boxes{};
  std::vector<std::int64_t> ends{};  ///< of the levels, in boxes
};

/// A level of stride s has ceil(height / s) x ceil(width / s) places, the first centred at (s/2,
/// s/2). An anchor of size k and ratio r is base s 2^(k/3) sqrt(r) high and base s 2^(k/3) /
/// sqrt(r) wide. In double, edges rounded once.
/// Source: Lin, Goyal, Girshick, He, Dollar, "Focal loss for dense object detection", ICCV 2017.
/// @throws ConfigError unless there are strides, all are positive, and so is the base
Anchors make_anchors(const AnchorConfig& config, std::int64_t height, std::int64_t width);

/// What an anchor is to find.
struct Match {
  enum class Kind : std::uint8_t { nothing, ignored, box };

  Kind kind = Kind::nothing;
  std::int32_t box = -1;  ///< its place in the list
};

/// IoU from which an anchor is to find a box, and from which it is not to find nothing.
struct MatchThresholds {
  double found = 0.5, ignored = 0.4;
};

/// An anchor is to find the box with which it has the largest intersection over union, of equal
/// ones the first, if that is at least `found`. If not, it counts for nothing where any box has at
/// least `ignored`, and is to find nothing elsewhere. Difficult boxes and crowds are never to be
/// found, so that an anchor over one counts for nothing. As in the paper (see make_anchors) no
/// anchor is given to a box that none reaches by `found`.
/// @throws ConfigError unless 0 < ignored <= found <= 1
std::vector<Match> match_anchors(std::span<const Box> anchors, std::span<const BoxLabel> boxes,
                                 const MatchThresholds& thresholds = {});

/// Standard deviations by which the four numbers of a box are divided.
inline constexpr std::array kBoxDeviations{0.1, 0.1, 0.2, 0.2};
/// A decoded side is at most 62.5 times the anchor's.
inline constexpr double kLargestGrowth = 62.5;

/// The box as seen from an anchor: shift of the centre in x and in y, over the anchor's width and
/// height, and the logarithms of the ratios of widths and of heights, each over its deviation. In
/// double, rounded once.
std::array<float, 4> encode_box(const Box& anchor, const Box& box);
/// The inverse, with each logarithm held to log(kLargestGrowth) from above.
Box decode_box(const Box& anchor, std::span<const float, 4> code);

}  // namespace ebb
