#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/tape.h"
#include "data/anchors.h"
#include "data/detection_open.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::train {

/// --data, --size, --longest, --mirror, --jitter, and what evaluations do with what is found.
std::vector<OptionSpec> detection_options();

/// --data opened. @throws DataError if the data cannot be had or are not what they claim
DetectionData open_detection(const Options& options);

/// A network that finds boxes, as the task needs it.
struct DetectionNetwork {
  /// Of every anchor: logits of the classes [batch, anchors, classes] and codes of the box [batch,
  /// anchors, 4], see encode_box.
  struct Output {
    Var logits, codes;
  };
  int classes = 0;
  AnchorConfig anchors{};
  /// Of images [batch, height, width, 3]; anchors in the order of make_anchors.
  std::function<Output(Pass&, Var images)> forward{};
};

/// What a network is to say of pictures: a row for each anchor of each picture.
struct DetectionTargets {
  std::vector<std::int32_t> labels{};   ///< a class, kNoClass or kIgnored
  std::vector<std::int64_t> matched{};  ///< rows that have a class
  std::vector<float> codes{};           ///< of their boxes, four a row
};
DetectionTargets detection_targets(const Anchors& anchors,
                                   const std::vector<std::vector<BoxLabel>>& boxes);

/// Focal loss of the classes plus smooth L1 (knee 1/9) of the codes of matched anchors, both summed
/// and divided by `count`.
Var detection_loss(Pass& pass, const DetectionNetwork::Output& output,
                   const DetectionTargets& targets, double count);

/// Detection by detection_loss over the larger of 1 and the number of matched anchors of the batch,
/// scored by mean average precision. Batches come from --seed, --batch and --accumulate.
/// @throws ConfigError if the settings do not fit the data
Task detection_task(const std::shared_ptr<const DetectionData>& data,
                    const DetectionNetwork& network, const Options& options);

}  // namespace ebb::train
