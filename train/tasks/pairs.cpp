#include "train/tasks/pairs.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "data/epoch_order.h"
#include "layers/loss.h"
#include "schedules/schedule.h"
#include "train/options/conflicts.h"
#include "train/options/try_all.h"
#include "train/tasks/scorers.h"
#include "train/tasks/text.h"

namespace ebb::train {
namespace {

constexpr std::int64_t kPiece = 64;  // pairs scored at a time

/// Rows and what is to be predicted at some of their tokens.
struct Batch {
  PackedRows rows;
  std::vector<std::int64_t> places;
  std::vector<std::int32_t> targets;
};

Bound masking_rate(const Options& options, std::int64_t steps_per_epoch) {
  const std::string& text = options.text("masking-rate");
  const Schedule schedule = Schedule::parse(text);
  require<ConfigError>(!schedule.is_closed_loop(), "[command line] --masking-rate: '", text,
                       "' has a controller, but batches are a pure function of the iteration");
  const std::int64_t updates = options.has("iterations")
                                   ? options.integer("iterations")
                                   : options.integer("epochs") * steps_per_epoch;
  Bound bound = schedule.bind({.updates = updates,
                               .updates_per_epoch = steps_per_epoch,
                               .samples_per_update = options.integer("batch")});
  const auto fine = [](const ValueRange& range) {
    return range.is_number() && range.low > 0 && range.high <= 1;
  };
  try_all("masking-rate", bound, fine, [&](std::int64_t t) {
    const double value = bound(t);
    require<ConfigError>(value > 0 && value <= 1, "expected a rate above 0 and at most 1, got ",
                         value);
  });
  return bound;
}

/// Where batches come from, in training and in evaluations.
struct Feed {
  std::shared_ptr<const PairSet> pairs;
  EpochOrder order;
  std::int64_t accumulate, length;
  bool hypothesis_only, masked;
  Key masks;
  std::optional<Bound> rate;  ///< of masked words in training; none: 15 of 100 in every sequence

  Feed(std::shared_ptr<const PairSet> set, const Options& options, bool masks_words)
      : pairs(std::move(set)),
        order(
            static_cast<std::int64_t>(pairs->train.size()), options.integer("batch"),
            Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("batches").fold("order")),
        accumulate(options.integer("accumulate")),
        length(options.integer("length")),
        hypothesis_only(options.flag("hypothesis-only")),
        masked(masks_words),
        masks(Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("masks")) {
    if (masked && options.has("masking-rate"))
      rate = masking_rate(options, order.batches_per_epoch());
    PackedRows probe;
    append_row(probe, *pairs, pairs->train.front(), length,
               hypothesis_only);  // refuses a length that is too small
  }

  /// Pairs of a part; the draws of its first row are number `first` of the key. Words are hidden at
  /// a rate of their own if one is given.
  [[nodiscard]] Batch batch(const std::vector<SentencePair>& part,
                            std::span<const std::int64_t> indices, Key key, std::int64_t first,
                            const std::optional<double>& at_rate = {}) const {
    Batch batch;
    std::vector<Key> keys;
    for (const std::int64_t i : indices) {
      const SentencePair& pair = part[static_cast<std::size_t>(i)];
      if (!masked) {
        batch.places.push_back(static_cast<std::int64_t>(batch.rows.tokens.size()));
        batch.targets.push_back(pair.label);
      }
      append_row(batch.rows, *pairs, pair, length, hypothesis_only);
      keys.push_back(key.fold(static_cast<std::uint64_t>(first++)));
    }
    if (masked) {
      MaskedRows hidden = at_rate ? mask_words(batch.rows, *pairs, keys, *at_rate)
                                  : mask_words(batch.rows, *pairs, keys);
      batch.places = std::move(hidden.places);
      batch.targets = std::move(hidden.targets);
    }
    return batch;
  }

  [[nodiscard]] std::vector<Batch> step(std::int64_t t) const {
    const std::vector<std::int64_t> indices = order.indices(t);
    const auto size = static_cast<std::int64_t>(indices.size()), parts = std::min(accumulate, size);
    std::optional<double> at_rate;
    if (rate) at_rate = (*rate)(t);
    std::vector<Batch> batches;
    for (std::int64_t i = 0, first = 0; i < parts; ++i) {
      const std::int64_t count = size / parts + (i < size % parts ? 1 : 0);
      const auto part = std::span(indices).subspan(static_cast<std::size_t>(first),
                                                   static_cast<std::size_t>(count));
      batches.push_back(batch(pairs->train, part,
                              masks.fold("training").fold(static_cast<std::uint64_t>(t)), first,
                              at_rate));
      first += count;
    }
    return batches;
  }
};

/// Of every row its length and the number of its places.
std::vector<std::pair<std::int64_t, std::int64_t>> row_sizes(const Batch& batch) {
  std::vector<std::pair<std::int64_t, std::int64_t>> sizes;
  std::int64_t end = 0;
  auto place = batch.places.begin();
  for (const std::int64_t length : batch.rows.lengths) {
    end += length;
    const auto next = std::find_if(place, batch.places.end(), [&](auto at) { return at >= end; });
    sizes.emplace_back(length, next - place);
    place = next;
  }
  return sizes;
}

Split split_of(const std::string& name, const std::shared_ptr<const Feed>& feed,
               const std::vector<SentencePair>& part, const PairNetwork& network) {
  const auto all = static_cast<std::int64_t>(part.size());
  const auto add = [feed, &part, network, name, all](Pass& pass, std::int64_t piece,
                                                     ScoreSums& sums) {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = piece * kPiece; i < std::min(all, (piece + 1) * kPiece); ++i)
      indices.push_back(i);
    const Batch batch = feed->batch(part, indices, feed->masks.fold(name), piece * kPiece);
    add_predictions(pass, network(pass, batch.rows, batch.places), batch.targets, sums);
  };
  std::vector<SumScore> scores{accuracy()};
  if (feed->masked) scores.insert(scores.begin(), perplexity());
  return sum_split(name, (all + kPiece - 1) / kPiece, std::move(scores), add);
}

/// Pairs of a file, one row per pair.
FileScorer score_pairs(const std::string& path, const std::shared_ptr<const Feed>& feed,
                       const PairNetwork& network) {
  const auto pairs = std::make_shared<const std::vector<SentencePair>>(
      read_unlabelled_pairs(path, feed->pairs->vocabulary));
  const auto rows = std::make_shared<std::vector<std::vector<std::string>>>();
  const auto all = std::ssize(*pairs);
  const auto add = [=](Pass& pass, std::int64_t piece) {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = piece * kPiece; i < std::min(all, (piece + 1) * kPiece); ++i)
      indices.push_back(i);
    const Batch batch = feed->batch(*pairs, indices, feed->masks, 0);
    for (const Prediction& each : predictions(pass.tape[network(pass, batch.rows, batch.places)]))
      rows->push_back(prediction_row(path, to_text(std::ssize(*rows)),
                                     std::string(kPairLabels[static_cast<std::size_t>(each.label)]),
                                     each.probability));
  };
  return {(all + kPiece - 1) / kPiece, add, [rows] { return *rows; }};
}

std::string describe(const PairSet& pairs) {
  std::string text = concat(pairs.name, ": ", pairs.train.size(), " training, ",
                            pairs.validation.size(), " validation and ", pairs.test.size(),
                            " test pairs, ", pairs.vocabulary.size(), " different words");
  if (pairs.without_label > 0)
    text += concat("; ", pairs.without_label, " rows without a label left out");
  if (pairs.other_languages > 0)
    text += concat("; ", pairs.other_languages, " rows in other languages left out");
  return text;
}

Task pair_task(const std::shared_ptr<const PairSet>& pairs, const PairNetwork& network,
               const Options& options, bool masked) {
  const auto feed = std::make_shared<Feed>(pairs, options, masked);
  Task task;
  task.metric = (masked ? perplexity() : accuracy()).metric;
  task.steps_per_epoch = feed->order.batches_per_epoch();
  task.parts = [feed](std::int64_t t) {
    std::vector<std::int64_t> sizes;
    for (const Batch& batch : feed->step(t))
      sizes.push_back(static_cast<std::int64_t>(batch.targets.size()));
    return sizes;
  };
  const LossSettings loss = loss_settings(options);
  task.settings = loss.settings();
  task.loss = [feed, network, loss](Pass& pass, std::int64_t t, std::int64_t part) {
    const Batch batch = std::move(feed->step(t)[static_cast<std::size_t>(part)]);
    return labelled_loss(pass, network(pass, batch.rows, batch.places), batch.targets, loss);
  };
  // What a row costs depends on its length and on how many places are predicted.
  const std::int64_t longest = feed->length;
  task.kinds = [feed, longest](std::int64_t t) {
    std::vector<Task::Examples> kinds;
    for (const Batch& batch : feed->step(t)) {
      for (const auto& [length, places] : row_sizes(batch))
        kinds.push_back({.kind = (longest - length) * longest + places - 1});
    }
    return kinds;
  };
  task.example = [network, longest](Pass& pass, std::int64_t kind) {
    const std::int64_t length = longest - kind / longest, count = kind % longest + 1;
    const std::vector<std::int32_t> blank(static_cast<std::size_t>(length), 0),
        targets(static_cast<std::size_t>(count), 0);
    std::vector<std::int64_t> places(static_cast<std::size_t>(count));
    std::iota(places.begin(), places.end(), 0);
    return softmax_cross_entropy(
        pass, network(pass, {.tokens = blank, .segments = blank, .lengths = {length}}, places),
        targets);
  };
  if (!masked) {
    task.file_columns = prediction_columns();
    task.open_file = [feed, network](const std::string& path) {
      return score_pairs(path, feed, network);
    };
  }
  if (!pairs->validation.empty())
    task.splits.push_back(split_of("validation", feed, pairs->validation, network));
  if (!pairs->test.empty()) task.splits.push_back(split_of("test", feed, pairs->test, network));
  task.data = {{"description", describe(*pairs)},
               {std::string(kVocabularyEntry), pairs->vocabulary.fingerprint()},
               {"training", PairSet::fingerprint(pairs->train)},
               {"validation", PairSet::fingerprint(pairs->validation)},
               {"test", PairSet::fingerprint(pairs->test)}};
  return task;
}

}  // namespace

std::vector<OptionSpec> pair_options() {
  const Conflict of_encoder = [](const Options& options) {
    return only_with(options, "arch", {"encoder"});
  };
  return {{.name = "task",
           .value = "classify|masked",
           .fallback = "classify",
           .help = "task of the encoder: classify sentence pairs, or predict masked words (masked "
                   "language modelling)",
           .choices = {"classify", "masked"},
           .conflict = of_encoder},
          {.name = "masking-rate",
           .value = "EXPR",
           .help = "share of words masked in training with --task masked, a schedule such as "
                   "'.3->.15:lin'; without it 15 % of every sequence, as in evaluations",
           .parse = [](const std::string& text) { static_cast<void>(Schedule::parse(text)); },
           .conflict =
               [](const Options& options) {
                 return options.has("batch-multiplier")
                            ? "with --batch-multiplier, as batches then are no updates"
                            : only_with(options, "task", {"masked"});
               },
           .use = OptionSpec::Use::training},
          {.name = "hypothesis-only",
           .value = "",
           .kind = OptionSpec::Kind::flag,
           .fallback = "false",
           .help = "drop the premise of every pair: the hypothesis-only baseline",
           .conflict = of_encoder},
          {.name = "language",
           .value = "CODE",
           .help = "language of the pairs to use, such as de, where the data have several",
           .may_be_empty = true,
           .conflict = of_encoder,
           .use = OptionSpec::Use::evaluation}};
}

PairSet open_pairs(const Options& options) {
  PairSet pairs = ebb::open_pairs(options.text("data"),
                                  {.vocabulary = vocabulary_limit(options, TokenUnit::word),
                                   .language = options.text("language")});
  if (!pairs.has_languages)
    refuse_given(options, "language", "on these data, whose rows name no language");
  return pairs;
}

Task classify_task(const std::shared_ptr<const PairSet>& pairs, const PairNetwork& network,
                   const Options& options) {
  Task task = pair_task(pairs, network, options, false);
  // The majority of the training pairs: what a classifier that learnt nothing else would say
  // everywhere.
  const std::int32_t most = majority_of(pairs->train).label;
  for (const auto& [name, part] :
       {std::pair("test", &pairs->test), std::pair("validation", &pairs->validation)}) {
    if (part->empty()) continue;
    const auto hits = std::ranges::count(*part, most, &SentencePair::label);
    task.baselines.emplace_back(concat(name, "_majority_accuracy"),
                                static_cast<double>(hits) / static_cast<double>(part->size()));
  }
  return task;
}

Task masked_task(const std::shared_ptr<const PairSet>& pairs, const PairNetwork& network,
                 const Options& options) {
  return pair_task(pairs, network, options, true);
}

}  // namespace ebb::train
