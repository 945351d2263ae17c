#include "train/tasks/detection.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/key.h"
#include "data/average_precision.h"
#include "data/box_decoding.h"
#include "data/coco.h"
#include "data/detection_batches.h"
#include "data/draw.h"
#include "layers/elementwise.h"
#include "layers/graph.h"
#include "layers/loss.h"
#include "layers/shape_ops.h"
#include "train/files.h"
#include "train/tasks/scorers.h"

namespace ebb::train {
namespace {

constexpr double kKnee = 1.0 / 9.0;  // of smooth L1
constexpr const char* kMetric = "map50";

Resizing resizing_of(const Options& options) {
  const std::int64_t shorter = options.integer("size");
  return {.shorter = shorter,
          .longest = options.optional_integer("longest").value_or(shorter * 5 / 3)};
}

DetectionBatchOptions batch_options(const Options& options) {
  const double jitter = options.real("jitter");
  return {.batch = options.integer("batch"),
          .resizing = resizing_of(options),
          .mirror = options.text("mirror") == "on",
          .jitter = {.brightness = jitter, .contrast = jitter, .saturation = jitter}};
}

Key batch_key(const Options& options) {
  return Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("batches");
}

// The batches of a run, and the micro-batches of the one at hand with what is to be found there.
struct Feed {
  struct Part {
    DetectionBatch batch;
    DetectionTargets targets;
  };
  std::shared_ptr<const DetectionData> data;
  AnchorConfig anchors;
  DetectionBatches source;
  std::int64_t accumulate;
  std::int64_t iteration = -1;
  std::vector<Part> parts{};
  double matched = 0;  ///< anchors of the batch

  Feed(std::shared_ptr<const DetectionData> pictures, AnchorConfig config, const Options& options)
      : data(std::move(pictures)),
        anchors(std::move(config)),
        source(data->train, batch_options(options), batch_key(options)),
        accumulate(options.integer("accumulate")) {}

  void prepare(std::int64_t t) {
    if (t == iteration) return;
    parts.clear();
    matched = 0;
    for (DetectionBatch& batch : micro_batches(source.batch(t), accumulate)) {
      const Shape& shape = batch.images.shape();
      DetectionTargets targets =
          detection_targets(make_anchors(anchors, shape[1], shape[2]), batch.boxes);
      matched += static_cast<double>(targets.matched.size());
      parts.push_back({std::move(batch), std::move(targets)});
    }
    iteration = t;
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

// What evaluations do with what they find.
struct Reports {
  BoxDecoding decoding{};
  std::string detections{}, pictures{};  // where the test split's go, if anywhere
};

// Gathers what is found in the pictures of a split.
struct Gathered {
  const DetectionSet& set;
  std::vector<std::vector<Detection>> found{};
  double loss = 0;
};

std::vector<Detection> detect(Pass& pass, const DetectionNetwork& network, DetectionBatch batch,
                              const BoxDecoding& decoding, double* loss) {
  const Shape shape = batch.images.shape();
  const Anchors anchors = make_anchors(network.anchors, shape[1], shape[2]);
  const DetectionNetwork::Output output =
      network.forward(pass, pass.tape.constant(std::move(batch.images)));
  if (loss != nullptr) {
    const DetectionTargets targets = detection_targets(anchors, batch.boxes);
    const double count = std::max(1.0, static_cast<double>(targets.matched.size()));
    *loss += static_cast<double>(pass.tape[detection_loss(pass, output, targets, count)].item());
  }
  return decode_detections(anchors, pass.tape[output.logits].values(),
                           pass.tape[output.codes].values(), batch.frames[0], decoding);
}

std::string png_name(std::string id) {
  std::ranges::replace(id, '/', '_');  // a file of the folder, whatever the list of pictures says
  return id + ".png";
}

void write_reports(const Gathered& gathered, const Reports& reports) {
  const DetectionSet& set = gathered.set;
  if (!reports.detections.empty())
    write_file(reports.detections, coco_results(set, gathered.found));
  if (reports.pictures.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(reports.pictures, error);
  require<DataError>(!error, "[draw] ", reports.pictures, " cannot be made: ", error.message());
  for (std::int64_t i = 0; i < set.count(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    Picture picture = read_picture(set, i);
    draw_detections(picture, gathered.found[at], set.pictures[at].boxes, set.classes);
    const std::vector<std::byte> png = encode_png(picture);
    write_file(concat(reports.pictures, '/', png_name(set.pictures[at].id)),
               {reinterpret_cast<const char*>(png.data()), png.size()});
  }
}

Scores scores_of(const Gathered& gathered) {
  const DetectionSet& set = gathered.set;
  std::vector<std::vector<BoxLabel>> truth;
  for (const LabelledPicture& picture : set.pictures) truth.push_back(picture.boxes);
  const auto score = [&](const ApOptions& rule) {
    return average_precision(truth, gathered.found, static_cast<int>(set.classes.size()), rule);
  };
  const AveragePrecision at_half = score({}), coco = score(ApOptions::coco());
  Scores scores{.examples = set.count(),
                .loss = gathered.loss / static_cast<double>(set.count()),
                .values = {{kMetric, at_half.mean.value_or(0)}, {"map", coco.mean.value_or(0)}}};
  for (std::size_t i = 0; i < at_half.by_class.size(); ++i) {
    if (at_half.by_class[i])  // none of a class that no picture has
      scores.values.emplace_back(concat("ap50/", set.classes[i]), *at_half.by_class[i]);
  }
  return scores;
}

// One picture a piece, so that nothing of what is found depends on how others are padded.
Split split_of(std::string name, const std::shared_ptr<const DetectionData>& data,
               const DetectionSet& set, const DetectionNetwork& network, const Options& options,
               const Reports& reports) {
  const auto source =
      std::make_shared<const DetectionBatches>(set, batch_options(options), batch_key(options));
  const auto begin = [=, &set, data = data] {
    const auto gathered = std::make_shared<Gathered>(Gathered{set});
    const auto add = [=](Pass& pass, std::int64_t piece) {
      gathered->found.push_back(
          detect(pass, network, source->in_order(piece, 1), reports.decoding, &gathered->loss));
    };
    return Scorer{.add = add, .result = [=, data = data] {
                    write_reports(*gathered, reports);
                    return scores_of(*gathered);
                  }};
  };
  return {std::move(name), set.count(), begin};
}

FileScorer score_pictures(const std::string& path, const DetectionSet& like,
                          const DetectionNetwork& network, const Options& options,
                          const BoxDecoding& decoding) {
  struct State {
    DetectionSet set;
    DetectionBatches source;
    std::vector<std::vector<std::string>> rows{};

    State(DetectionSet pictures, const Options& of)
        : set(std::move(pictures)), source(set, batch_options(of), batch_key(of)) {}
  };
  const auto state = std::make_shared<State>(read_unlabelled_pictures(like, path), options);
  const auto add = [=](Pass& pass, std::int64_t piece) {
    for (const Detection& each :
         detect(pass, network, state->source.in_order(piece, 1), decoding, nullptr)) {
      std::vector<std::string> row =
          prediction_row(path, state->set.pictures[static_cast<std::size_t>(piece)].id,
                         state->set.classes[static_cast<std::size_t>(each.label)], each.score);
      for (const float edge : {each.box.left, each.box.top, each.box.right, each.box.bottom})
        row.push_back(to_text(edge));
      state->rows.push_back(std::move(row));
    }
  };
  return {state->set.count(), add, [state] { return state->rows; }};
}

// What a picture costs depends on the size that its batch is padded to.
constexpr std::int64_t kSides = std::int64_t{1} << 20;
std::int64_t kind_of(const Shape& images) { return images[1] * kSides + images[2]; }

}  // namespace

DetectionTargets detection_targets(const Anchors& anchors,
                                   const std::vector<std::vector<BoxLabel>>& boxes) {
  DetectionTargets targets;
  targets.labels.reserve(boxes.size() * anchors.boxes.size());
  for (const std::vector<BoxLabel>& of_picture : boxes) {
    const std::vector<Match> matches = match_anchors(anchors.boxes, of_picture);
    for (std::size_t i = 0; i < matches.size(); ++i) {
      if (matches[i].kind != Match::Kind::box) {
        targets.labels.push_back(matches[i].kind == Match::Kind::ignored ? kIgnored : kNoClass);
        continue;
      }
      const BoxLabel& box = of_picture[static_cast<std::size_t>(matches[i].box)];
      targets.matched.push_back(std::ssize(targets.labels));
      targets.labels.push_back(box.label);
      std::ranges::copy(encode_box(anchors.boxes[i], box.box), std::back_inserter(targets.codes));
    }
  }
  return targets;
}

Var detection_loss(Pass& pass, const DetectionNetwork::Output& output,
                   const DetectionTargets& targets, double count) {
  const Shape shape = pass.tape.shape(output.logits);
  const std::int64_t rows = shape[0] * shape[1], matched = std::ssize(targets.matched);
  const Var of_classes =
      focal_loss(pass, reshape(pass, output.logits, {rows, shape[2]}), targets.labels, count);
  if (matched == 0) return of_classes;
  const Var codes = select_rows(pass, reshape(pass, output.codes, {rows, 4}), targets.matched);
  const Var mean = smooth_l1_loss(pass, codes, Tensor::from({matched, 4}, targets.codes), kKnee);
  return add(pass, of_classes,
             scale(pass, mean, static_cast<float>(static_cast<double>(4 * matched) / count)));
}

DetectionData open_detection(const Options& options) {
  return ebb::open_detection(options.text("data"), options.text("train-on") == "trainval"
                                                       ? TrainingSplit::trainval
                                                       : TrainingSplit::train);
}

std::vector<OptionSpec> detection_options() {
  const auto side = [](double n) { return n >= 1 && n <= 16384; };
  const auto share = [](double n) { return n >= 0 && n <= 1; };
  return {{.name = "data",
           .value = "DIR|NAME",
           .fallback = "synthetic",
           .help = "directory in the layout of Pascal VOC or of COCO, or synthetic: scenes with "
                   "shapes",
           .use = OptionSpec::Use::evaluation,
           .adjustable = true},
          {.name = "train-on",
           .value = "train|trainval",
           .fallback = "train",
           .help = "trainval: the validation pictures are trained on, too",
           .choices = {"train", "trainval"}},
          {.name = "size",
           .value = "N",
           .kind = OptionSpec::Kind::integer,
           .fallback = "608",
           .help = "pixels of the shorter side that pictures are scaled to",
           .expected = "1 to 16384",
           .accepts = side},
          {.name = "longest",
           .value = "N",
           .kind = OptionSpec::Kind::integer,
           .help = "pixels that the longer side has at the most",
           .expected = "1 to 16384",
           .accepts = side,
           .default_help = "5/3 of --size"},
          {.name = "mirror",
           .value = "on|off",
           .fallback = "on",
           .help = "mirror half of the training pictures, left to right",
           .choices = {"on", "off"},
           .use = OptionSpec::Use::training},
          {.name = "jitter",
           .value = "F",
           .kind = OptionSpec::Kind::real,
           .fallback = "0",
           .help = "brightness, contrast and saturation of training pictures change by a random "
                   "factor of 1-F to 1+F each",
           .expected = "0 to 1",
           .accepts = share,
           .use = OptionSpec::Use::training},
          {.name = "score-threshold",
           .value = "F",
           .kind = OptionSpec::Kind::real,
           .fallback = "0.05",
           .help = "what scores no more than this is not found",
           .expected = "0 to 1",
           .accepts = share,
           .use = OptionSpec::Use::evaluation},
          {.name = "nms",
           .value = "F",
           .kind = OptionSpec::Kind::real,
           .fallback = "0.5",
           .help = "intersection over union with a better box of its class above which a box is "
                   "dropped",
           .expected = "0 to 1",
           .accepts = share,
           .use = OptionSpec::Use::evaluation},
          {.name = "detections",
           .value = "FILE",
           .help = "write what is found in the test pictures, in COCO's JSON of results",
           .use = OptionSpec::Use::session},
          {.name = "draw",
           .value = "DIR",
           .help = "draw what is found in the test pictures, a PNG each",
           .use = OptionSpec::Use::session}};
}

Task detection_task(const std::shared_ptr<const DetectionData>& data,
                    const DetectionNetwork& network, const Options& options) {
  const auto feed = std::make_shared<Feed>(data, network.anchors, options);
  Reports reports{.decoding = {.score_threshold = options.real("score-threshold"),
                               .suppression = options.real("nms")}};
  Task task;
  task.metric = {kMetric};
  task.steps_per_epoch = feed->source.batches_per_epoch();
  task.parts = [feed](std::int64_t t) { return feed->sizes(t); };
  task.loss = [feed, network](Pass& pass, std::int64_t t, std::int64_t part) -> BatchLoss {
    feed->prepare(t);
    const auto& [batch, targets] = feed->parts[static_cast<std::size_t>(part)];
    // The loop weights the parts by their share of the pictures; all are over one number.
    const double share =
        static_cast<double>(batch.size()) / static_cast<double>(feed->source.batch_size(t));
    return detection_loss(pass, network.forward(pass, pass.tape.constant(batch.images)), targets,
                          std::max(1.0, feed->matched) * share);
  };
  const Shape first = feed->source.shape(0);
  task.kinds = [feed](std::int64_t t) {
    return std::vector{Task::Examples{.kind = kind_of(feed->source.shape(t)),
                                      .count = feed->source.batch_size(t)}};
  };
  task.unit = concat("one picture of ", first[1], " x ", first[2]);
  task.example = [network, first = kind_of(first)](Pass& pass, std::int64_t kind) {
    if (kind == 0) kind = first;
    const auto [logits, codes] = network.forward(
        pass, pass.tape.constant(Tensor::shape_only({1, kind / kSides, kind % kSides, 3})));
    return pass.tape.record_shape({}, {logits, codes});
  };
  if (data->validation.count() > 0)
    task.splits.push_back(
        split_of("validation", data, data->validation, network, options, reports));
  task.file_columns = prediction_columns();
  for (const char* edge : {"left", "top", "right", "bottom"}) task.file_columns.emplace_back(edge);
  task.open_file = [data, network, options, decoding = reports.decoding](const std::string& path) {
    return score_pictures(path, data->train, network, options, decoding);
  };
  reports.detections = options.text("detections");
  reports.pictures = options.text("draw");
  task.splits.push_back(split_of("test", data, data->test, network, options, reports));
  task.data = {{"description", describe(*data)},
               {"training", data->train.fingerprint()},
               {"test", data->test.fingerprint()}};
  if (data->validation.count() > 0)
    task.data.emplace_back("validation", data->validation.fingerprint());
  return task;
}

}  // namespace ebb::train
