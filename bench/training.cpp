#include "training.h"

#include <algorithm>
#include <numeric>
#include <sstream>

namespace ebb::bench {

PrecisionPlan parse_plan(const std::string& text) {
  if (text == "fp32") return PrecisionPlan::fp32();
  std::istringstream words(text);
  std::string forward, gradient, accumulator;
  std::getline(words, forward, '/');
  std::getline(words, gradient, '/');
  PrecisionPlan plan =
      PrecisionPlan::uniform(Format::parse("int" + forward), Format::parse("int" + gradient));
  if (std::getline(words, accumulator)) plan.base.set_accumulator(Accumulator::parse(accumulator));
  return plan;
}

namespace {

/// Eight batches of an embedded set, as many as bench/compare/step.py holds.
DataSet few_images(std::string_view name, std::int64_t batch) {
  DataSet data = open_data(name);
  std::vector<std::int64_t> first(
      static_cast<std::size_t>(std::min(8 * batch, data.train.count())));
  std::iota(first.begin(), first.end(), std::int64_t{0});
  data.train = subset(data.train, first);
  data.test = {};
  return data;
}

}  // namespace

Training::Training(std::string_view architecture, std::string_view data, std::int64_t batch)
    : data_(few_images(data, batch)),
      batches_(data_.train, {.batch = batch, .augmentation = data_.augmentation},
               root_.fold("batches")),
      network_(make_classifier(architecture, data_.train.shape, data_.train.classes, params_,
                               root_.fold("initial values"))) {}

void Training::step(const Batch& batch) {
  const Key key = root_.fold(static_cast<std::uint64_t>(step_++));
  Pass pass{.params = params_, .plan = plan, .ledger = ledger_, .key = key, .simd = best_simd()};
  const Var logits = network_.forward(pass, pass.tape.constant(batch.inputs));
  const Var loss = softmax_cross_entropy(pass, logits, batch.labels);
  optimizer_.step(params_, pass.tape.backward(loss), 0.01);
  pass.effects.apply_to(params_);
}

}  // namespace ebb::bench
