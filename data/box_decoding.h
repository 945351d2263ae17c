#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/anchors.h"
#include "data/boxes.h"
#include "data/detection.h"

namespace ebb {

struct BoxDecoding {
  double score_threshold = 0.05;   ///< what does not score more is not found
  double suppression = 0.5;        ///< IoU with a better one of its class from which one is dropped
  std::int64_t candidates = 1000;  ///< best ones of a level that are looked at
  std::int64_t most = 100;         ///< detections of a picture
};

/// Greedy suppression: detections by descending score, equal ones in the order of the list, each
/// kept unless one of its class that was kept has more than `suppression` of intersection over
/// union with it, until there are `most`.
std::vector<Detection> suppress(std::vector<Detection> found, double suppression,
                                std::int64_t most);

/// What a network found in a picture: logits [anchors, classes] and codes [anchors, 4] of boxes,
/// see encode_box. Scores are 1 / (1 + e^-logit) in double, rounded once. Of each level the best
/// candidates are decoded, of equal scores those of the first anchor, then class; boxes are cut to
/// the frame, and those that keep no area dropped; then comes suppress, the candidates being in
/// the order of levels. Boxes are those of the picture itself: divided by the frame's scales. A NaN
/// finds nothing. @throws ShapeError unless there are logits and codes for all anchors
std::vector<Detection> decode_detections(const Anchors& anchors, std::span<const float> logits,
                                         std::span<const float> codes, const PictureFrame& frame,
                                         const BoxDecoding& decoding = {});

}  // namespace ebb
