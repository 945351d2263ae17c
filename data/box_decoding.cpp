#include "data/box_decoding.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "core/error.h"
#include "core/math.h"

namespace ebb {
namespace {

/// A class at an anchor.
struct Candidate {
  float score;
  std::int64_t place;  ///< of its logit
};

/// The best of logits first .. last, in order.
std::vector<Candidate> best_of(std::span<const float> logits, std::int64_t first, std::int64_t last,
                               const BoxDecoding& decoding) {
  std::vector<Candidate> candidates;
  for (std::int64_t i = first; i < last; ++i) {
    const auto score = static_cast<float>(
        1.0 / (1.0 + math::exp(-static_cast<double>(logits[static_cast<std::size_t>(i)]))));
    if (static_cast<double>(score) > decoding.score_threshold) candidates.push_back({score, i});
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.place < b.place;
  };
  const auto kept =
      candidates.begin() + std::min<std::ptrdiff_t>(std::ssize(candidates), decoding.candidates);
  std::partial_sort(candidates.begin(), kept, candidates.end(), better);
  candidates.erase(kept, candidates.end());
  return candidates;
}

Box cut(const Box& box, const PictureFrame& frame) {
  const auto width = static_cast<float>(frame.width), height = static_cast<float>(frame.height);
  return {std::clamp(box.left, 0.0f, width), std::clamp(box.top, 0.0f, height),
          std::clamp(box.right, 0.0f, width), std::clamp(box.bottom, 0.0f, height)};
}

Box in_picture(const Box& box, const PictureFrame& frame) {
  const auto over = [](float edge, double scale) {
    return static_cast<float>(static_cast<double>(edge) / scale);
  };
  return {over(box.left, frame.scale_x), over(box.top, frame.scale_y),
          over(box.right, frame.scale_x), over(box.bottom, frame.scale_y)};
}

}  // namespace

std::vector<Detection> suppress(std::vector<Detection> found, double suppression,
                                std::int64_t most) {
  std::ranges::stable_sort(found, std::ranges::greater{}, &Detection::score);
  std::vector<Detection> kept;
  for (const Detection& detection : found) {
    if (std::ssize(kept) >= most) break;
    const bool covered = std::ranges::any_of(kept, [&](const Detection& better) {
      return better.label == detection.label &&
             intersection_over_union(better.box, detection.box) > suppression;
    });
    if (!covered) kept.push_back(detection);
  }
  return kept;
}

std::vector<Detection> decode_detections(const Anchors& anchors, std::span<const float> logits,
                                         std::span<const float> codes, const PictureFrame& frame,
                                         const BoxDecoding& decoding) {
  const std::size_t count = anchors.boxes.size();
  require<ShapeError>(
      count > 0 && codes.size() == 4 * count && !logits.empty() && logits.size() % count == 0,
      "[detections] expected logits and 4 numbers for each of ", count, " anchors, got ",
      logits.size(), " and ", codes.size());
  const auto classes = static_cast<std::int64_t>(logits.size() / count);
  std::vector<Detection> found;
  std::int64_t first = 0;
  for (const std::int64_t end : anchors.ends) {
    for (const Candidate& candidate : best_of(logits, first * classes, end * classes, decoding)) {
      const auto anchor = static_cast<std::size_t>(candidate.place / classes);
      const Box box =
          cut(decode_box(anchors.boxes[anchor], codes.subspan(4 * anchor).first<4>()), frame);
      if (!(box.width() > 0 && box.height() > 0)) continue;
      found.push_back({in_picture(box, frame), static_cast<std::int32_t>(candidate.place % classes),
                       candidate.score});
    }
    first = end;
  }
  return suppress(std::move(found), decoding.suppression, decoding.most);
}

}  // namespace ebb
