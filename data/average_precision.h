#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/boxes.h"

namespace ebb {

/// How detections are matched with boxes, and precision with recall becomes one number.
///
/// voc07: Pascal VOC up to 2009, the mean of the precision at recalls 0, 0.1 .. 1. voc: since 2010,
/// the area under the curve. coco: the mean at recalls 0, 0.01 .. 1, and other matching.
enum class ApRule : std::uint8_t { voc07, voc, coco };

/// @throws ConfigError for a word that is none of voc07, voc and coco, with the nearest
ApRule parse_ap_rule(std::string_view word);

struct ApOptions {
  ApRule rule = ApRule::voc;
  std::vector<double> iou{0.5};  ///< the least overlap of a match; the result is the mean of these
  bool inclusive =
      false;  ///< right and bottom are the last pixels, so that a box is 1 pixel larger
  std::int64_t most = 100;  ///< coco: detections of a picture and class that count, best first

  /// COCO's .50, .55 .. .95.
  static ApOptions coco();
};

struct AveragePrecision {
  std::vector<std::optional<double>> by_class{};  ///< nothing for a class without boxes to be found
  std::vector<std::int64_t> boxes{};  ///< to be found, by class: neither difficult nor crowds
  std::optional<double> mean{};       ///< of the classes that have one
};

/// Average precision of what was found in pictures: lists of both for each picture.
///
/// A class's detections are taken in the order of their scores, highest first; of equal scores in
/// the order of pictures, then of the picture's list. Each is right, wrong, or not counted:
/// - voc07, voc: the box of the class that overlaps it most, the first of equals, decides. Below
///   `iou`, or if a detection before has that box: wrong. A difficult box or a crowd: not counted.
/// - coco: it takes the box that overlaps it most, the last of equals, of those with at least `iou`
///   which no detection before took; difficult boxes and crowds only if there is no other, and then
///   it is not counted. Many may take one crowd, and the overlap with a crowd is the share of the
///   detection that lies in it. Without a box: wrong.
/// After each counted detection there is a recall, the right ones over the boxes to be found, and a
/// precision, the right ones over the counted ones; the precision at a recall r is the highest of
/// those at recalls of at least r, 0 if there are none. Recalls are compared exactly. Sources:
/// Everingham et al. 2010; the PASCAL VOC development kit; Lin et al. 2014; pycocotools.
/// @throws ConfigError unless there are as many lists of both, labels are 0 .. classes - 1, every
/// overlap is above 0 and at most 1, and most >= 1; DataError for a score that is not finite
AveragePrecision average_precision(std::span<const std::vector<BoxLabel>> truth,
                                   std::span<const std::vector<Detection>> found, int classes,
                                   const ApOptions& options);

}  // namespace ebb
