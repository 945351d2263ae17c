#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ebb/ebb.h"
#include "models/classifier.h"

namespace ebb::bench {

/// "fp32", or forward and gradient bits and perhaps an accumulator: "8/8", "3/8", "8/8/sat16".
PrecisionPlan parse_plan(const std::string& text);

/// A network in training on the embedded images, SGD with momentum and weight decay.
class Training {
 public:
  Training(std::string_view architecture, std::string_view data, std::int64_t batch);

  PrecisionPlan plan = PrecisionPlan::fp32();

  /// Crop, mirror and normalise the images of the next step.
  [[nodiscard]] Batch next_batch() const { return batches_.batch(step_); }
  /// Forward, backward and update.
  void step(const Batch& batch);
  /// The next batch and its step.
  void step() { step(next_batch()); }

  [[nodiscard]] const CostLedger& ledger() const { return ledger_; }

 private:
  Key root_{1};
  DataSet data_;
  BatchSource batches_;
  ParamStore params_;
  Classifier network_;
  Optimizer optimizer_ = make_optimizer("sgd", {{"weight_decay", 1e-4}});
  CostLedger ledger_;
  std::int64_t step_ = 0;
};

/// A training step by name, everything included, under the plan that it is given:
///
/// | resnet20      as Training on CIFAR-shaped images, `batch` of them
/// | lstm          the one-layer Penn Treebank model of the papers: 800 units, `batch` streams of
/// |               35 tokens, 10,000 words, dropout, clipped SGD
/// | transformer   a decoder of 6 layers, 384 wide, 6 heads, on `batch` windows of 256 of 65
/// |               characters, AdamW
/// | gcn           three graph convolutions of the papers, 512 wide, on a graph of Arxiv's size,
/// |               Adam; sums over neighbours in float32; `batch` means nothing
///
/// @throws ConfigError for another name
std::function<void(const PrecisionPlan&)> make_step(std::string_view network, std::int64_t batch);

}  // namespace ebb::bench
