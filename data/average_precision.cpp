#include "data/average_precision.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"

namespace ebb {
namespace {

/// A box to be found, or one that makes its detections not count.
struct Target {
  Box box{};
  bool ignored = false, crowd = false;
};

struct Candidate {
  float score = 0;
  std::size_t picture = 0;
  std::vector<double> overlaps{};  ///< with each target of its picture
};

/// One class: its targets by picture, its detections best first.
struct OfClass {
  std::vector<std::vector<Target>> targets;
  std::vector<Candidate> candidates;
  std::int64_t wanted = 0;
};

enum class Verdict : std::uint8_t { right, wrong, not_counted };

double area_of(const Box& box) {
  return std::max(0.0, double{box.right} - box.left) * std::max(0.0, double{box.bottom} - box.top);
}

double overlap(const Box& detection, const Target& target) {
  if (!target.crowd) return intersection_over_union(detection, target.box);
  const Box shared{.left = std::max(detection.left, target.box.left),
                   .top = std::max(detection.top, target.box.top),
                   .right = std::min(detection.right, target.box.right),
                   .bottom = std::min(detection.bottom, target.box.bottom)};
  const double all = area_of(detection);
  return all > 0 ? area_of(shared) / all : 0;
}

Box whole(Box box, bool inclusive) {
  if (inclusive) {
    box.right += 1;
    box.bottom += 1;
  }
  return box;
}

std::vector<Target> targets_of(const std::vector<BoxLabel>& boxes, std::int32_t label,
                               const ApOptions& options) {
  std::vector<Target> targets;
  for (const BoxLabel& each : boxes) {
    if (each.label == label)
      targets.push_back({.box = whole(each.box, options.inclusive),
                         .ignored = each.difficult || each.crowd,
                         .crowd = each.crowd && options.rule == ApRule::coco});
  }
  if (options.rule == ApRule::coco)  // boxes to be found have the first choice
    std::stable_partition(targets.begin(), targets.end(),
                          [](const Target& target) { return !target.ignored; });
  return targets;
}

OfClass gather(std::span<const std::vector<BoxLabel>> truth,
               std::span<const std::vector<Detection>> found, std::int32_t label,
               const ApOptions& options) {
  OfClass result;
  const auto best_first = [](const Candidate& a, const Candidate& b) { return a.score > b.score; };
  for (std::size_t picture = 0; picture < truth.size(); ++picture) {
    const auto& targets = result.targets.emplace_back(targets_of(truth[picture], label, options));
    for (const Target& target : targets) result.wanted += target.ignored ? 0 : 1;
    std::vector<Candidate> here;
    for (const Detection& each : found[picture]) {
      if (each.label != label) continue;
      Candidate candidate{.score = each.score, .picture = picture};
      for (const Target& target : targets)
        candidate.overlaps.push_back(overlap(whole(each.box, options.inclusive), target));
      here.push_back(std::move(candidate));
    }
    std::ranges::stable_sort(here, best_first);
    if (options.rule == ApRule::coco && std::ssize(here) > options.most)
      here.resize(static_cast<std::size_t>(options.most));
    std::ranges::move(here, std::back_inserter(result.candidates));
  }
  std::ranges::stable_sort(result.candidates, best_first);
  return result;
}

Verdict judge_voc(const Candidate& candidate, const std::vector<Target>& targets,
                  std::vector<bool>& taken, double least) {
  const auto best = std::ranges::max_element(candidate.overlaps);  // the first of equals
  if (best == candidate.overlaps.end() || *best < least) return Verdict::wrong;
  const auto at = static_cast<std::size_t>(best - candidate.overlaps.begin());
  if (targets[at].ignored) return Verdict::not_counted;
  if (taken[at]) return Verdict::wrong;
  taken[at] = true;
  return Verdict::right;
}

Verdict judge_coco(const Candidate& candidate, const std::vector<Target>& targets,
                   std::vector<bool>& taken, double least) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (taken[i] && !targets[i].crowd) continue;
    if (best && !targets[*best].ignored && targets[i].ignored) break;
    if (candidate.overlaps[i] < (best ? candidate.overlaps[*best] : least)) continue;
    best = i;
  }
  if (!best) return Verdict::wrong;
  taken[*best] = true;
  return targets[*best].ignored ? Verdict::not_counted : Verdict::right;
}

/// After a right detection: how many right ones there are, and the highest precision from here on.
struct CurvePoint {
  std::int64_t right = 0;
  double precision = 0;
};

std::vector<CurvePoint> curve_of(const OfClass& of_class, const ApOptions& options, double least) {
  std::vector<std::vector<bool>> taken;
  for (const auto& targets : of_class.targets) taken.emplace_back(targets.size(), false);
  const auto judge = options.rule == ApRule::coco ? judge_coco : judge_voc;
  std::vector<CurvePoint> curve;
  std::int64_t right = 0, counted = 0;
  for (const Candidate& each : of_class.candidates) {
    const Verdict verdict = judge(each, of_class.targets[each.picture], taken[each.picture], least);
    counted += verdict == Verdict::not_counted ? 0 : 1;
    if (verdict != Verdict::right) continue;  // only these can be the highest of what follows
    ++right;
    curve.push_back({right, static_cast<double>(right) / static_cast<double>(counted)});
  }
  for (std::size_t i = curve.size(); i-- > 1;)
    curve[i - 1].precision = std::max(curve[i - 1].precision, curve[i].precision);
  return curve;
}

/// The curve rises at every point by one box of `wanted`.
double area_under(const std::vector<CurvePoint>& curve, std::int64_t wanted) {
  double sum = 0;
  for (const CurvePoint& point : curve) sum += point.precision;
  return sum / static_cast<double>(wanted);
}

double mean_at(const std::vector<CurvePoint>& curve, std::int64_t wanted, std::int64_t steps) {
  double sum = 0;
  std::size_t at = 0;
  for (std::int64_t k = 0; k <= steps; ++k) {
    while (at < curve.size() && curve[at].right * steps < k * wanted) ++at;
    if (at < curve.size()) sum += curve[at].precision;
  }
  return sum / static_cast<double>(steps + 1);
}

double precision_of(const OfClass& of_class, const ApOptions& options, double least) {
  const std::vector<CurvePoint> curve = curve_of(of_class, options, least);
  switch (options.rule) {
    case ApRule::voc07: return mean_at(curve, of_class.wanted, 10);
    case ApRule::voc: return area_under(curve, of_class.wanted);
    case ApRule::coco: break;
  }
  return mean_at(curve, of_class.wanted, 100);
}

void require_valid(std::span<const std::vector<BoxLabel>> truth,
                   std::span<const std::vector<Detection>> found, int classes,
                   const ApOptions& options) {
  require<ConfigError>(truth.size() == found.size(), "[ap] expected detections of ", truth.size(),
                       " pictures, got ", found.size(), " lists");
  require<ConfigError>(!options.iou.empty() && options.most >= 1,
                       "[ap] expected an overlap, and at least 1 detection, got ",
                       options.iou.size(), " and ", options.most);
  for (const double iou : options.iou)
    require<ConfigError>(iou > 0 && iou <= 1,
                         "[ap] expected an overlap above 0 and at most 1, got ", iou);
  const auto require_label = [&](std::int32_t label, std::size_t picture) {
    require<ConfigError>(label >= 0 && label < classes, "[ap] label ", label, " of picture ",
                         picture, " is none of the classes 0 .. ", classes - 1);
  };
  for (std::size_t picture = 0; picture < truth.size(); ++picture) {
    for (const BoxLabel& each : truth[picture]) require_label(each.label, picture);
    for (const Detection& each : found[picture]) {
      require_label(each.label, picture);
      require<DataError>(std::isfinite(each.score), "[ap] a detection of picture ", picture,
                         " has the score ", each.score, "; expected a finite number");
    }
  }
}

}  // namespace

ApRule parse_ap_rule(std::string_view word) {
  const std::vector<std::string> known{"voc07", "voc", "coco"};
  const auto at = std::ranges::find(known, word);
  require<ConfigError>(at != known.end(), "[ap] ", unknown_word("metric", word, known));
  return static_cast<ApRule>(at - known.begin());
}

ApOptions ApOptions::coco() {
  ApOptions options{.rule = ApRule::coco, .iou = {}};
  for (int twentieths = 10; twentieths < 20; ++twentieths) options.iou.push_back(twentieths / 20.0);
  return options;
}

AveragePrecision average_precision(std::span<const std::vector<BoxLabel>> truth,
                                   std::span<const std::vector<Detection>> found, int classes,
                                   const ApOptions& options) {
  require_valid(truth, found, classes, options);
  AveragePrecision result;
  double sum = 0;
  std::int64_t present = 0;
  for (std::int32_t label = 0; label < classes; ++label) {
    const OfClass of_class = gather(truth, found, label, options);
    result.boxes.push_back(of_class.wanted);
    auto& own = result.by_class.emplace_back();
    if (of_class.wanted == 0) continue;
    double over_overlaps = 0;
    for (const double iou : options.iou) over_overlaps += precision_of(of_class, options, iou);
    own = over_overlaps / static_cast<double>(options.iou.size());
    sum += *own;
    ++present;
  }
  if (present > 0) result.mean = sum / static_cast<double>(present);
  return result;
}

}  // namespace ebb
