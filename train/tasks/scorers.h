#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/setting.h"
#include "core/tape.h"
#include "layers/pass.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::train {

/// What scores that are functions of sums add up.
struct ScoreSums {
  double loss = 0;                ///< over the examples
  double correct = 0, bytes = 0;  ///< examples whose label is predicted; bytes that they stand for
  double verified = 0;            ///< examples whose label is predicted wherever their bounds reach
  std::int64_t examples = 0;

  /// Adds a mean loss over so many examples.
  void add(double mean_loss, std::int64_t count);
};

/// A score by name.
struct SumScore {
  Metric metric{};
  double (*of)(const ScoreSums&);
};
SumScore accuracy();        ///< the share of examples whose label is predicted
SumScore perplexity();      ///< e to the mean loss
SumScore bits_per_byte();   ///< the loss over ln 2 and over the bytes that the examples stand for
SumScore standard_error();  ///< the share of examples whose label is not predicted
SumScore verified_error();  ///< and of those that are not verified

/// A split whose pieces add to sums, scored by functions of these.
Split sum_split(std::string name, std::int64_t pieces, std::vector<SumScore> scores,
                std::function<void(Pass&, std::int64_t piece, ScoreSums&)> add);

/// The label of the largest of a row's logits (the first of equals), and its softmax probability.
struct Prediction {
  std::int64_t label = 0;
  double probability = 0;
};
/// The prediction of every row of logits [n, classes].
std::vector<Prediction> predictions(const Tensor& logits);
/// The row of a table: FILE, EXAMPLE, the label's name, the probability to six decimals.
std::vector<std::string> prediction_row(const std::string& file, const std::string& example,
                                        const std::string& label, double probability);
/// The heading of such rows.
std::vector<std::string> prediction_columns();

/// What training makes of the softmax cross-entropy; evaluations never do.
struct LossSettings {
  Setting label_smoothing = 0, z_loss = 0;
  bool language = false;  ///< whether the program has a --z-loss

  Var operator()(Pass& pass, Var logits, std::span<const std::int32_t> labels) const;
  /// What --set may turn.
  [[nodiscard]] std::vector<TaskSetting> settings() const;
};
/// --label-smoothing and, for language models, --z-loss.
std::vector<OptionSpec> loss_options(bool language);
/// What these options say, where the program has them.
LossSettings loss_settings(const Options& options);

/// The loss of a training batch, with the share of labels that the logits predict.
BatchLoss labelled_loss(Pass& pass, Var logits, std::span<const std::int32_t> labels,
                        const LossSettings& loss = {});

/// Adds the softmax cross-entropy of logits [n, classes], and how many labels they predict.
void add_predictions(Pass& pass, Var logits, std::span<const std::int32_t> labels, ScoreSums& sums);

}  // namespace ebb::train
