#include "train/tasks/certified.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/error.h"
#include "data/batches.h"
#include "layers/elementwise.h"
#include "layers/interval.h"
#include "layers/interval_losses.h"
#include "layers/interval_rounding.h"
#include "layers/loss.h"
#include "schedules/schedule.h"
#include "train/options/conflicts.h"
#include "train/options/try_all.h"
#include "train/tasks/scorers.h"

namespace ebb::train {
namespace {

constexpr std::int64_t kPiece = 100;   // images scored at a time
constexpr double kTolerance = 0.5;     // of both regularisers
constexpr double kLeastRadius = 1e-6;  // what the regularisers see while epsilon is 0

std::string conflict_without_certify(const Options& options) {
  return options.flag("certify") ? "" : "without --certify";
}

void parse_open_loop(const std::string& text) {
  require<ConfigError>(!Schedule::parse(text).is_closed_loop(), "'", text,
                       "' has a controller, which this setting cannot follow");
}

Bound bound_option(const Options& options, const char* name, std::int64_t steps_per_epoch,
                   double most) {
  const std::int64_t updates = options.has("iterations")
                                   ? options.integer("iterations")
                                   : options.integer("epochs") * steps_per_epoch;
  Bound bound = Schedule::parse(options.text(name))
                    .bind({.updates = updates,
                           .updates_per_epoch = steps_per_epoch,
                           .samples_per_update = options.integer("batch")});
  const auto fine = [=](const ValueRange& range) {
    return range.is_number() && range.low >= 0 && range.high <= most;
  };
  try_all(name, bound, fine, [&](std::int64_t t) {
    const double value = bound(t);
    require<ConfigError>(value >= 0 && value <= most, "expected 0 to ", most, ", got ", value);
  });
  return bound;
}

/// The images that an adversary may make of an image, as a network is fed them: every pixel within
/// epsilon, and within 0 .. 1.
class Boxes {
 public:
  explicit Boxes(const ImageSet& set) : std_(set.normalization.std) {
    for (std::size_t c = 0; c < std_.size(); ++c) {
      const float mean = set.normalization.mean[c];
      black_.push_back((0.0f - mean) / std_[c]);
      white_.push_back((1.0f - mean) / std_[c]);
    }
  }

  /// The lower ends of all images, then the upper ends.
  [[nodiscard]] Tensor around(const Tensor& images, double epsilon) const {
    const Shape& shape = images.shape();
    Tensor ends = Tensor::uninitialized({2 * shape[0], shape[1], shape[2], shape[3]});
    for (std::int64_t k = 0; k < images.size(); ++k) {
      const auto c = static_cast<std::size_t>(k % shape[3]);
      const double x = images[k], reach = epsilon / double{std_[c]};
      // Normalisation rounds twice, that of the image and that of what the adversary makes of it.
      const double slack = 0x1p-21 * (std::abs(x) + reach);
      ends[k] = std::max(black_[c], round_down(x - reach - slack));
      ends[images.size() + k] = std::min(white_[c], round_up(x + reach + slack));
    }
    return ends;
  }

 private:
  std::vector<float> std_, black_, white_;
};

/// The same examples in the order of their labels, as worst_logits needs them.
Batch by_label(const Batch& batch) {
  std::vector<std::int64_t> order(batch.labels.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::ranges::stable_sort(
      order, {}, [&](std::int64_t i) { return batch.labels[static_cast<std::size_t>(i)]; });
  Batch sorted{.inputs = Tensor::uninitialized(batch.inputs.shape()), .labels = {}};
  const std::int64_t size = batch.inputs.size() / std::max<std::int64_t>(batch.size(), 1);
  float* to = sorted.inputs.data();
  for (const std::int64_t i : order) {
    to = std::copy_n(batch.inputs.data() + i * size, size, to);
    sorted.labels.push_back(batch.labels[static_cast<std::size_t>(i)]);
  }
  return sorted;
}

/// What the loss of a step consists of, and so which products it has.
struct Terms {
  bool robust = true, bounds = true, clean = false;

  /// 0 for a step at a full epsilon without the clean loss.
  [[nodiscard]] std::int64_t kind() const {
    return (robust ? 0 : 1) + (bounds ? 0 : 2) + (clean ? 4 : 0);
  }
  static Terms of_kind(std::int64_t kind) {
    return {(kind & 1) == 0, (kind & 2) == 0, (kind & 4) != 0};
  }
};

/// The factors of a step.
struct Factors {
  double epsilon = 0, kappa = 0, lambda = 0;
};

struct Certified {
  std::vector<Layer> body;  ///< all layers but the last
  Linear last;
  Boxes boxes;
  Bound epsilon, kappa;
  double target, lambda;
  bool tight, balanced;

  [[nodiscard]] Factors factors(std::int64_t t) const {
    const double now = epsilon(t);
    return {now, kappa(t), std::max(0.0, lambda * (1 - now / target))};
  }
  [[nodiscard]] Terms terms(const Factors& by) const {
    const bool regularised = by.lambda > 0 && (tight || balanced), robust = by.epsilon > 0;
    return {robust, robust || regularised, !robust || by.kappa > 0};
  }

  [[nodiscard]] BatchLoss loss(Pass& pass, const Batch& batch, const Terms& terms,
                               const Factors& by) const {
    const Var x = pass.tape.constant(batch.inputs);
    if (!terms.bounds) return labelled_loss(pass, last(pass, forward(pass, body, x)), batch.labels);
    const Var box =
        pass.tape.constant(boxes.around(batch.inputs, std::max(by.epsilon, kLeastRadius)));
    const Propagated at = propagate(pass, body, x, box);
    const Var logits = last(pass, at.x);
    std::optional<Var> value;
    const auto add_term = [&](Var term, double factor) {
      const Var scaled = factor == 1 ? term : scale(pass, term, static_cast<float>(factor));
      value = value ? add(pass, *value, scaled) : scaled;
    };
    if (terms.robust) {
      const Var worst = worst_logits(pass, last, at.bounds, batch.labels);
      add_term(softmax_cross_entropy(pass, worst, batch.labels), terms.clean ? 1 - by.kappa : 1);
    }
    if (terms.clean)
      add_term(softmax_cross_entropy(pass, logits, batch.labels), terms.robust ? by.kappa : 1);
    if (by.lambda > 0 && tight)
      add_term(tightness_loss(pass, box, at.before_relu, kTolerance), by.lambda);
    if (by.lambda > 0 && balanced)
      add_term(balance_loss(pass, at.before_relu, kTolerance), by.lambda);
    BatchLoss result = *value;
    if (!pass.counting)
      result.accuracy = static_cast<double>(count_correct(pass.tape[logits], batch.labels)) /
                        static_cast<double>(batch.size());
    return result;
  }

  void score(Pass& pass, const Batch& batch, ScoreSums& sums) const {
    const Propagated at = propagate(pass, body, pass.tape.constant(batch.inputs),
                                    pass.tape.constant(boxes.around(batch.inputs, target)));
    const Var worst = worst_logits(pass, last, at.bounds, batch.labels);
    add_predictions(pass, last(pass, at.x), batch.labels, sums);
    const Tensor& excess = pass.tape[worst];
    const std::int64_t classes = excess.shape()[1];
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      bool verified = true;
      for (std::int64_t j = 0; j < classes; ++j)
        verified = verified &&
                   (j == batch.labels[static_cast<std::size_t>(i)] || excess[i * classes + j] < 0);
      sums.verified += verified ? 1 : 0;
    }
  }
};

void require_pixels(const ImageSet& set) {
  const auto* const values = std::get_if<std::vector<float>>(&set.pixels);
  require<DataError>(
      values == nullptr ||
          std::ranges::all_of(*values, [](float v) { return v >= 0.0f && v <= 1.0f; }),
      "[certify] ", set.name, ": expected pixels from 0 to 1, which epsilon is a share of");
}

Certified certified_of(const ImageData& data, const std::vector<Layer>& layers,
                       const Options& options, std::int64_t steps_per_epoch) {
  for (const ImageSet* set : {&data.set.train, &data.set.test, &data.validation})
    require_pixels(*set);
  const std::string& regularisers = options.text("certify-regularisers");
  Certified result{.body = {layers.begin(), layers.end() - 1},
                   .last = std::get<Linear>(layers.back()),
                   .boxes = Boxes(data.set.train),
                   .epsilon = bound_option(options, "certify-epsilon", steps_per_epoch, 1),
                   .kappa = bound_option(options, "certify-kappa", steps_per_epoch, 1),
                   .target = 0,
                   .lambda = options.real("certify-lambda"),
                   .tight = regularisers == "both" || regularisers == "tightness",
                   .balanced = regularisers == "both" || regularisers == "balance"};
  result.target = result.epsilon(result.epsilon.updates());
  require<ConfigError>(result.target > 0 && result.target <= 1,
                       "[command line] --certify-epsilon: '", options.text("certify-epsilon"),
                       "' ends at ", result.target,
                       ", where evaluations are; expected an end above 0 and at most 1");
  return result;
}

Split split_of(std::string name, std::shared_ptr<const ImageData> data, const ImageSet& set,
               std::shared_ptr<const Certified> certified) {
  const auto add = [data = std::move(data), &set, certified = std::move(certified)](
                       Pass& pass, std::int64_t piece, ScoreSums& sums) {
    const std::int64_t first = piece * kPiece, count = std::min(kPiece, set.count() - first);
    certified->score(pass, by_label(batch_in_file_order(set, first, count)), sums);
  };
  return sum_split(std::move(name), (set.count() + kPiece - 1) / kPiece,
                   {standard_error(), verified_error()}, add);
}

}  // namespace

std::vector<OptionSpec> certified_options() {
  std::vector<OptionSpec> list{
      {.name = "certify",
       .kind = OptionSpec::Kind::flag,
       .fallback = "false",
       .help = "train by interval bounds and score verified error: the share of images whose class "
               "some change of every pixel by up to epsilon might alter"},
      {.name = "certify-epsilon",
       .value = "EXPR",
       .fallback = "0->0.1 : smooth @30% ; 0.1 @rest",
       .help = "largest change of a pixel, whose values are 0 to 1, a schedule; "
               "evaluations are at its end",
       .parse = parse_open_loop,
       .conflict = conflict_without_certify,
       .use = OptionSpec::Use::evaluation},
      {.name = "certify-kappa",
       .value = "EXPR",
       .fallback = "0",
       .help = "share of the loss of the images themselves, a schedule",
       .parse = parse_open_loop,
       .conflict = conflict_without_certify,
       .use = OptionSpec::Use::training},
      {.name = "certify-lambda",
       .value = "X",
       .kind = OptionSpec::Kind::real,
       .fallback = "0.5",
       .help = "factor of the regularisers at epsilon 0, from where it falls to 0 "
               "at the last epsilon",
       .expected = "0 or more",
       .accepts = [](double factor) { return factor >= 0 && std::isfinite(factor); },
       .conflict = conflict_without_certify,
       .use = OptionSpec::Use::training},
      {.name = "certify-regularisers",
       .value = "both|tightness|balance|none",
       .fallback = "both",
       .help = "tightness keeps bounds from widening, balance ReLUs from all being "
               "active or inactive",
       .choices = {"both", "tightness", "balance", "none"},
       .conflict = conflict_without_certify,
       .use = OptionSpec::Use::training},
      {.name = "certify-init",
       .value = "ibp|network",
       .fallback = "ibp",
       .help = "initial weights that keep the width of bounds from layer to layer, "
               "or those that the network has otherwise",
       .choices = {"ibp", "network"},
       .conflict = conflict_without_certify,
       .use = OptionSpec::Use::training}};
  for (OptionSpec& option : list) option.group = "Certified training";
  return list;
}

void init_certified(ParamStore& params, const std::vector<Layer>& layers, const Options& options,
                    Key key) {
  require<ConfigError>(!layers.empty() && std::holds_alternative<Linear>(layers.back()),
                       "[command line] --certify needs a network that is a sequence of layers, got "
                       "--arch ",
                       options.text("arch"), "; lenet5-bn, cnn-small, cnn7 and mlp-bn are some");
  if (options.text("certify-init") == "ibp") init_for_bounds(params, layers, key);
}

Task certified_task(const std::shared_ptr<const ImageData>& data, const std::vector<Layer>& layers,
                    const Options& options) {
  Task task = image_task(
      data, [layers](Pass& pass, Var x) { return forward(pass, layers, x); }, options);
  const auto certified =
      std::make_shared<const Certified>(certified_of(*data, layers, options, task.steps_per_epoch));
  const ImageBatches batches = image_batches(data, options);
  task.metric = verified_error().metric;
  task.loss = [=](Pass& pass, std::int64_t t, std::int64_t part) {
    const Factors by = certified->factors(t);
    BatchLoss loss = certified->loss(pass, by_label(batches(t, part)), certified->terms(by), by);
    loss.settings = {{"epsilon", by.epsilon}, {"kappa", by.kappa}, {"lambda", by.lambda}};
    return loss;
  };
  task.example = [certified, shape = data->set.train.shape](Pass& pass, std::int64_t kind) {
    const Batch one{.inputs = Tensor::zeros({1, shape[0], shape[1], shape[2]}), .labels = {0}};
    return certified->loss(pass, one, Terms::of_kind(kind), {.kappa = 0.5, .lambda = 1}).value;
  };
  task.kinds = [certified, parts = task.parts](std::int64_t t) {
    Task::Examples all{.kind = certified->terms(certified->factors(t)).kind(), .count = 0};
    for (const std::int64_t examples : parts(t)) all.count += examples;
    return std::vector<Task::Examples>{all};
  };
  task.splits.clear();
  if (data->validation.count() > 0)
    task.splits.push_back(split_of("validation", data, data->validation, certified));
  task.splits.push_back(split_of("test", data, data->set.test, certified));
  return task;
}

}  // namespace ebb::train
