#include "train/tasks/images.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/key.h"
#include "data/batches.h"
#include "data/image_input.h"
#include "layers/loss.h"
#include "train/options/conflicts.h"
#include "train/tasks/scorers.h"

namespace ebb::train {
namespace {

// Images scored at a time: enough to keep kernels busy, few enough that a deep network's
// activations stay small.
constexpr std::int64_t kPiece = 100;

// The batches of a run, and the micro-batches of the one at hand. A batch is made by all threads
// when it is asked for: a thread that made it ahead would take a processor from the team that
// multiplies.
struct Feed {
  std::shared_ptr<const ImageData> data;
  BatchSource source;
  std::int64_t accumulate;
  std::int64_t iteration = -1;
  std::vector<Batch> parts;

  Feed(std::shared_ptr<const ImageData> images, const Options& options)
      : data(std::move(images)),
        source(data->set.train,
               {.batch = options.integer("batch"), .augmentation = data->set.augmentation},
               Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("batches")),
        accumulate(options.integer("accumulate")) {}

  const Batch& part(std::int64_t t, std::int64_t index) {
    if (t != iteration) {
      parts = micro_batches(source.batch(t), accumulate);
      iteration = t;
    }
    return parts[static_cast<std::size_t>(index)];
  }

  // The sizes that micro_batches gives, without making the batch.
  [[nodiscard]] std::vector<std::int64_t> sizes(std::int64_t t) const {
    const std::int64_t size = source.batch_size(t), count = std::min(accumulate, size);
    std::vector<std::int64_t> sizes;
    for (std::int64_t i = 0; i < count; ++i)
      sizes.push_back(size / count + (i < size % count ? 1 : 0));
    return sizes;
  }
};

Split split_of(std::string name, std::shared_ptr<const ImageData> data, const ImageSet& set,
               ImageNetwork network) {
  const auto add = [data = std::move(data), &set, network = std::move(network)](
                       Pass& pass, std::int64_t piece, ScoreSums& sums) {
    const std::int64_t first = piece * kPiece, count = std::min(kPiece, set.count() - first);
    Batch batch = batch_in_file_order(set, first, count);
    const Var logits = network(pass, pass.tape.constant(std::move(batch.inputs)));
    add_predictions(pass, logits, batch.labels, sums);
  };
  return sum_split(std::move(name), (set.count() + kPiece - 1) / kPiece, {accuracy()}, add);
}

FileScorer score_images(const std::string& path, const ImageSet& like,
                        const std::vector<std::string>& names, const ImageNetwork& network) {
  struct State {
    UnlabelledImages images;
    std::vector<std::vector<std::string>> rows{};
  };
  const auto state = std::make_shared<State>(State{.images = read_images_like(like, path)});
  const std::int64_t count = state->images.set.count();
  const auto add = [=](Pass& pass, std::int64_t piece) {
    const std::int64_t first = piece * kPiece;
    Batch batch = batch_in_file_order(state->images.set, first, std::min(kPiece, count - first));
    const Var logits = network(pass, pass.tape.constant(std::move(batch.inputs)));
    for (const Prediction& each : predictions(pass.tape[logits]))
      state->rows.push_back(prediction_row(path, state->images.names[state->rows.size()],
                                           names[static_cast<std::size_t>(each.label)],
                                           each.probability));
  };
  return {(count + kPiece - 1) / kPiece, add, [state] { return state->rows; }};
}

}  // namespace

std::vector<OptionSpec> image_options() {
  std::vector<OptionSpec> options{
      {.name = "data",
       .value = "DIR|NAME",
       .fallback = "synthetic",
       .help = "directory with IDX or CIFAR files or pictures by class, or synthetic, or "
               "synthetic-cifar",
       .use = OptionSpec::Use::evaluation,
       .adjustable = true},
      {.name = "image-size",
       .value = "N",
       .kind = OptionSpec::Kind::integer,
       .fallback = "224",
       .help = "JPEG and PNG images are centre-cropped to a square and resized to N x N",
       .expected = "1 to 4096",
       .accepts = [](double side) { return side >= 1 && side <= 4096; }},
      {.name = "augment",
       .value = "auto|none|crop-flip",
       .fallback = "auto",
       .help = "augmentation of training images; crop-flip: random crop and horizontal flip; "
               "auto: crop-flip for colour images",
       .choices = {"auto", "none", "crop-flip"},
       .use = OptionSpec::Use::training},
      {.name = "validation",
       .value = "F",
       .kind = OptionSpec::Kind::real,
       .fallback = "0",
       .help = "fraction of the training images held out and scored, instead of the test set, "
               "during training",
       .expected = "a share of 0 to below 1",
       .accepts = [](double share) { return share >= 0 && share < 1; }},
      {.name = "training-images",
       .value = "N",
       .kind = OptionSpec::Kind::integer,
       .help = "train on so many of the training images, drawn by the seed",
       .expected = "1 and more",
       .accepts = [](double count) { return count >= 1; },
       .default_help = "all",
       .use = OptionSpec::Use::training}};
  std::ranges::move(loss_options(false), std::back_inserter(options));
  return options;
}

ImageData open_images(const Options& options) {
  ImageData data{.set = open_data(options.text("data"), options.integer("image-size")),
                 .validation = {}};
  if (!data.set.scaled)
    refuse_given(
        options, "image-size",
        concat("on images that all are ", data.set.train.shape, "; pictures alone are scaled"));
  if (options.text("augment") == "none") data.set.augmentation = Augmentation::none();
  if (options.text("augment") == "crop-flip") data.set.augmentation = Augmentation::crop_and_flip();
  if (const double share = options.real("validation"); share > 0) {
    ValidationSplit split = split_validation(
        data.set.train, share,
        Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("validation"));
    data.set.train = std::move(split.train);
    data.validation = std::move(split.validation);
  }
  if (const auto count = options.optional_integer("training-images")) {
    const std::int64_t all = data.set.train.count();
    require<ConfigError>(*count <= all, "[command line] --training-images: expected at most the ",
                         all, " there are, got ", *count);
    const Key key = Key(static_cast<std::uint64_t>(options.integer("seed")));
    if (*count < all)
      data.set.train =
          split_validation(data.set.train, static_cast<double>(*count) / static_cast<double>(all),
                           key.fold("training images"))
              .validation;
  }
  return data;
}

ImageBatches image_batches(const std::shared_ptr<const ImageData>& data, const Options& options) {
  return [feed = std::make_shared<Feed>(data, options)](
             std::int64_t t, std::int64_t part) -> const Batch& { return feed->part(t, part); };
}

Task image_task(const std::shared_ptr<const ImageData>& data, const ImageNetwork& network,
                const Options& options) {
  const auto feed = std::make_shared<Feed>(data, options);
  Task task;
  task.metric = accuracy().metric;
  task.steps_per_epoch = feed->source.batches_per_epoch();
  task.parts = [feed](std::int64_t t) { return feed->sizes(t); };
  const LossSettings loss = loss_settings(options);
  task.settings = loss.settings();
  task.loss = [feed, network, loss](Pass& pass, std::int64_t t, std::int64_t part) {
    const Batch& batch = feed->part(t, part);
    return labelled_loss(pass, network(pass, pass.tape.constant(batch.inputs)), batch.labels, loss);
  };
  if (data->validation.count() > 0)
    task.splits.push_back(split_of("validation", data, data->validation, network));
  task.splits.push_back(split_of("test", data, data->set.test, network));
  task.example = [network, shape = data->set.train.shape](Pass& pass, std::int64_t) {
    const std::vector<std::int32_t> label{0};
    return softmax_cross_entropy(
        pass, network(pass, pass.tape.constant(Tensor::zeros({1, shape[0], shape[1], shape[2]}))),
        label);
  };
  task.file_columns = prediction_columns();
  task.open_file = [data, network, where = options.text("data")](const std::string& path) {
    const ImageSet& like = data->set.train;
    return score_images(path, like, class_names(where, like.classes), network);
  };
  task.data = {{"description", describe(data->set)},
               {"training", data->set.train.fingerprint()},
               {"test", data->set.test.fingerprint()}};
  return task;
}

}  // namespace ebb::train
