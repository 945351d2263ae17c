#include "train/tasks/scorers.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <utility>

#include "core/math.h"
#include "layers/loss.h"

namespace ebb::train {

void ScoreSums::add(double mean_loss, std::int64_t count) {
  loss += mean_loss * static_cast<double>(count);
  examples += count;
}

SumScore accuracy() {
  return {{"accuracy"},
          [](const ScoreSums& sums) { return sums.correct / static_cast<double>(sums.examples); }};
}

SumScore perplexity() {
  return {{"perplexity", true}, [](const ScoreSums& sums) {
            return math::exp(sums.loss / static_cast<double>(sums.examples));
          }};
}

SumScore bits_per_byte() {
  return {{"bits_per_byte", true},
          [](const ScoreSums& sums) { return sums.loss / sums.bytes / math::log(2.0); }};
}

SumScore standard_error() {
  return {{"standard_error", true}, [](const ScoreSums& sums) {
            return 1 - sums.correct / static_cast<double>(sums.examples);
          }};
}

SumScore verified_error() {
  return {{"verified_error", true}, [](const ScoreSums& sums) {
            return 1 - sums.verified / static_cast<double>(sums.examples);
          }};
}

Split sum_split(std::string name, std::int64_t pieces, std::vector<SumScore> scores,
                std::function<void(Pass&, std::int64_t piece, ScoreSums&)> add) {
  const auto begin = [scores = std::move(scores), add = std::move(add)] {
    const auto sums = std::make_shared<ScoreSums>();
    return Scorer{.add = [sums, add](Pass& pass, std::int64_t piece) { add(pass, piece, *sums); },
                  .result =
                      [sums, scores] {
                        Scores result{.examples = sums->examples,
                                      .loss = sums->loss / static_cast<double>(sums->examples)};
                        for (const SumScore& score : scores)
                          result.values.emplace_back(score.metric.name, score.of(*sums));
                        return result;
                      }};
  };
  return {std::move(name), pieces, begin};
}

std::vector<Prediction> predictions(const Tensor& logits) {
  const std::int64_t classes = logits.shape()[1];
  std::vector<Prediction> result;
  for (std::int64_t i = 0; i < logits.shape()[0]; ++i) {
    const auto row = logits.values().subspan(static_cast<std::size_t>(i * classes),
                                             static_cast<std::size_t>(classes));
    const auto largest = std::ranges::max_element(row);
    double sum = 0;
    for (const float logit : row)
      sum += math::exp(static_cast<double>(logit) - static_cast<double>(*largest));
    result.push_back({.label = largest - row.begin(), .probability = 1 / sum});
  }
  return result;
}

std::vector<std::string> prediction_row(const std::string& file, const std::string& example,
                                        const std::string& label, double probability) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.6f", probability);
  return {file, example, label, std::string(text.data(), static_cast<std::size_t>(length))};
}

std::vector<std::string> prediction_columns() { return {"file", "example", "label", "score"}; }

Var LossSettings::operator()(Pass& pass, Var logits, std::span<const std::int32_t> labels) const {
  return softmax_cross_entropy(pass, logits, labels, label_smoothing, z_loss);
}

std::vector<TaskSetting> LossSettings::settings() const {
  std::vector<TaskSetting> all{{Hyperparameter::share("label-smoothing", 0), label_smoothing}};
  if (language) all.push_back({Hyperparameter::amount("z-loss", 0), z_loss});
  return all;
}

std::vector<OptionSpec> loss_options(bool language) {
  std::vector<OptionSpec> options{OptionSpec::probability(
      "label-smoothing", "0",
      "share of the wanted probability that goes to all classes alike, in training")};
  if (language)
    options.push_back({.name = "z-loss",
                       .value = "X",
                       .kind = OptionSpec::Kind::real,
                       .fallback = "0",
                       .help = "weight of the squared logarithm of the softmax's denominator in "
                               "the loss of training; 1e-4 keeps logits from drifting",
                       .expected = "0, or 1e-30 to 1e30",
                       .accepts = [](double x) { return x == 0 || (x >= 1e-30 && x <= 1e30); },
                       .use = OptionSpec::Use::training});
  return options;
}

LossSettings loss_settings(const Options& options) {
  const auto number = [&](const char* name) {
    return options.find(name) != nullptr ? options.real(name) : 0.0;
  };
  return {number("label-smoothing"), number("z-loss"), options.find("z-loss") != nullptr};
}

BatchLoss labelled_loss(Pass& pass, Var logits, std::span<const std::int32_t> labels,
                        const LossSettings& settings) {
  BatchLoss loss = settings(pass, logits, labels);
  if (!pass.counting)
    loss.accuracy = static_cast<double>(count_correct(pass.tape[logits], labels)) /
                    static_cast<double>(labels.size());
  return loss;
}

void add_predictions(Pass& pass, Var logits, std::span<const std::int32_t> labels,
                     ScoreSums& sums) {
  sums.correct += static_cast<double>(count_correct(pass.tape[logits], labels));
  sums.add(static_cast<double>(pass.tape[softmax_cross_entropy(pass, logits, labels)].item()),
           static_cast<std::int64_t>(labels.size()));
}

}  // namespace ebb::train
