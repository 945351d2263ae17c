#include "train/tasks/text.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "data/file.h"
#include "data/windows.h"
#include "layers/loss.h"
#include "train/files.h"
#include "train/options/conflicts.h"
#include "train/options/whole_schedule.h"
#include "train/tasks/generate.h"

namespace ebb::train {
namespace {

constexpr std::int64_t kEvaluationStreams = 10;  // as the usual evaluations of Penn Treebank models

/// Where training keeps the state of the streams between steps.
struct Carried {
  struct Layer {
    ParamId hidden, cell;
  };
  std::vector<Layer> layers;

  Carried(ParamStore& params, const std::vector<StreamState>& begin) {
    for (std::size_t i = 0; i < begin.size(); ++i) {
      const std::string name = concat("carried", i);
      layers.push_back({params.add(name + ".hidden", begin[i].hidden, ParamStore::Kind::state),
                        params.add(name + ".cell", begin[i].cell, ParamStore::Kind::state)});
    }
  }
  [[nodiscard]] std::vector<StreamState> load(const ParamStore& params) const {
    std::vector<StreamState> states;
    for (const Layer& layer : layers) states.push_back({params[layer.hidden], params[layer.cell]});
    return states;
  }
  void store(std::vector<StreamState> states, Effects& effects) const {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      effects.values.push_back({layers[i].hidden, std::move(states[i].hidden)});
      effects.values.push_back({layers[i].cell, std::move(states[i].cell)});
    }
  }
};

/// A pass of its own tape within another.
Pass part_of(const Pass& pass, std::int64_t part) {
  return {.params = pass.params,
          .plan = pass.plan,
          .ledger = pass.ledger,
          .key = pass.key.fold(static_cast<std::uint64_t>(part)),
          .mode = pass.mode,
          .simd = pass.simd};
}

std::vector<float> last_row(const Tensor& logits) {
  const auto row = logits.values().last(static_cast<std::size_t>(logits.shape()[1]));
  return {row.begin(), row.end()};
}

TokenReader stream_reader(const RecurrentNetwork& network) {
  return [network, states = network.begin(1), read = std::int64_t{0}](
             Pass& pass, std::span<const std::int32_t> tokens) mutable {
    std::vector<float> logits;
    for (const std::int32_t& token : tokens) {
      Pass part = part_of(pass, read++);
      logits = last_row(part.tape[network.forward(part, {&token, 1}, states)]);
    }
    return logits;
  };
}

TokenReader window_reader(const WindowNetwork& network, std::int64_t length) {
  return [network, length, window = TokenIds{}, read = std::int64_t{0}](
             Pass& pass, std::span<const std::int32_t> tokens) mutable {
    window.insert(window.end(), tokens.begin(), tokens.end());
    window.erase(window.begin(), window.end() - std::min(length, std::ssize(window)));
    Pass part = part_of(pass, read++);
    return last_row(part.tape[network(part, window, 1)]);
  };
}

/// The states of the first `streams` streams.
void keep_first(std::vector<StreamState>& states, std::int64_t streams) {
  const auto cut = [streams](const Tensor& all) {
    Tensor some = Tensor::uninitialized({streams, all.shape()[1]});
    std::copy_n(all.data(), some.size(), some.data());
    return some;
  };
  for (StreamState& state : states) state = {cut(state.hidden), cut(state.cell)};
}

/// The whole text as one piece, since every window needs the state of the one before; each window
/// has a tape of its own.
Split stream_split(std::string name, const std::shared_ptr<const Corpus>& corpus,
                   const TokenIds& text, std::int64_t length, const RecurrentNetwork& network) {
  const auto add = [corpus, network, windows = ScoredStreams(text, kEvaluationStreams, length)](
                       Pass& pass, std::int64_t, ScoreSums& sums) {
    std::vector<StreamState> states = network.begin(windows.rows());
    for (std::int64_t w = 0; w < windows.count(); ++w) {
      const TokenBatch batch = windows.window(w);
      if (batch.rows < windows.rows()) keep_first(states, batch.rows);
      Pass part = part_of(pass, w);
      const Var loss =
          softmax_cross_entropy(part, network.forward(part, batch.inputs, states), batch.targets);
      sums.add(static_cast<double>(part.tape[loss].item()), batch.size());
      sums.bytes += static_cast<double>(corpus->vocabulary.bytes(batch.targets));
    }
  };
  return sum_split(std::move(name), 1, {text_score(*corpus)}, add);
}

constexpr std::int64_t kEvaluationTokens = 8192;  // scored at a time

Split window_split(std::string name, const std::shared_ptr<const Corpus>& corpus,
                   const TokenIds& text, std::int64_t length, const WindowNetwork& network) {
  const ConsecutiveWindows windows(text, std::max<std::int64_t>(1, kEvaluationTokens / length),
                                   length);
  const auto add = [corpus, network, windows](Pass& pass, std::int64_t piece, ScoreSums& sums) {
    const TokenBatch batch = windows.batch(piece);
    const Var loss =
        softmax_cross_entropy(pass, network(pass, batch.inputs, batch.rows), batch.targets);
    sums.add(static_cast<double>(pass.tape[loss].item()), batch.size());
    sums.bytes += static_cast<double>(corpus->vocabulary.bytes(batch.targets));
  };
  return sum_split(std::move(name), windows.count(), {text_score(*corpus)}, add);
}

/// A text of its own with what a split makes of it.
struct ForeignText {
  TokenIds tokens;
  Scorer scorer{};
};

/// A file as one text: tokens that were scored, nats per token, and the score of the network's
/// unit.
FileScorer score_text(const std::string& path, const std::shared_ptr<const Corpus>& corpus,
                      const std::function<Split(const TokenIds&)>& split_of) {
  const std::vector<std::byte> bytes = read_data_file(path);
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  const auto foreign =
      std::make_shared<ForeignText>(ForeignText{.tokens = corpus->vocabulary.encode(text, path)});
  require<DataError>(foreign->tokens.size() > 1, "[predict] ", path, ": expected two tokens or ",
                     "more, since the first is not scored, got ", foreign->tokens.size());
  const Split split = split_of(foreign->tokens);
  foreign->scorer = split.begin();
  const auto add = [foreign](Pass& pass, std::int64_t piece) { foreign->scorer.add(pass, piece); };
  const auto rows = [foreign, path] {
    const Scores scores = foreign->scorer.result();
    return std::vector<std::vector<std::string>>{{path, to_text(scores.examples),
                                                  to_text(scores.loss),
                                                  to_text(scores.values.at(0).second)}};
  };
  return {split.pieces, add, rows};
}

/// Rows of micro-batch `part` when `rows` are cut into `parts`: as micro_batches cuts images,
/// larger ones first.
std::int64_t part_rows(std::int64_t rows, std::int64_t parts, std::int64_t part) {
  return rows / parts + (part < rows % parts ? 1 : 0);
}

/// The value of a schedule that is whole by construction.
std::int64_t whole(const Bound& bound, std::int64_t t) {
  return static_cast<std::int64_t>(bound(t));
}

/// Tokens of the windows of every update.
Bound sequence_lengths(const Options& options, std::int64_t steps_per_epoch) {
  const std::int64_t longest = options.integer("length");
  return whole_schedule(options, "sequence-length", steps_per_epoch, 1, longest,
                        concat("a whole number of 1 to --length, ", longest));
}

}  // namespace

std::vector<OptionSpec> text_options() {
  std::vector<OptionSpec> options{
      {.name = "data",
       .value = "PATH|embedded",
       .fallback = "embedded",
       .help = "text file, or folder with train.txt, valid.txt and perhaps test.txt; embedded is a "
               "small text made by a grammar",
       .use = OptionSpec::Use::evaluation,
       .adjustable = true},
      {.name = "unit",
       .value = "auto|byte|word|bpe",
       .fallback = "auto",
       .help = "what a token is; bpe: byte-pair encoding learnt from the training text; auto: word "
               "for a folder, byte for a file",
       .choices = {"auto", "byte", "word", "bpe"}},
      {.name = "vocabulary",
       .value = "N",
       .kind = OptionSpec::Kind::integer,
       .fallback = "0",
       .help = "vocabulary size: words, rarer ones becoming <unk>, or bpe tokens; 0: 50000 "
               "words, 2048 of bpe",
       .expected = "3 and more (bpe: 257), or 0",
       .accepts = [](double n) { return n == 0 || n >= 3; }},
      OptionSpec::count("length", "64", "tokens of a window of text")};
  std::ranges::move(loss_options(true), std::back_inserter(options));
  std::ranges::move(generation_options(), std::back_inserter(options));
  return options;
}

namespace {

constexpr const char* kVocabularyFile = "vocabulary.txt";

// A run that writes a text, scores others or gives its weights needs its tokens only, which it
// kept.
std::optional<Corpus> corpus_to_write_with(const Options& options) {
  if (options.gave("data")) return std::nullopt;
  const std::string& run = options.text(options.has("input")    ? "evaluate"
                                        : options.has("export") ? "export"
                                                                : "generate");
  if (run.empty()) return std::nullopt;
  const std::string path = concat(run, '/', kVocabularyFile);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;  // of an earlier version
  return Corpus{.name = path,
                .vocabulary = Vocabulary::load(read_file(path), path),
                .train = {},
                .validation = {},
                .test = {}};
}

}  // namespace

Corpus open_corpus(const Options& options) {
  if (std::optional<Corpus> corpus = corpus_to_write_with(options)) return std::move(*corpus);
  const std::string &where = options.text("data"), &unit = options.text("unit");
  const bool words = unit == "word" || (unit == "auto" && where != "embedded" &&
                                        std::filesystem::is_directory(where));
  const TokenUnit tokens = unit == "bpe" ? TokenUnit::byte_pair
                           : words       ? TokenUnit::word
                                         : TokenUnit::byte;
  if (tokens == TokenUnit::byte)
    refuse_given(options, "vocabulary", "where tokens are bytes, only with --unit word or bpe");
  return open_text(where, {.unit = tokens, .vocabulary = vocabulary_limit(options, tokens)});
}

std::int64_t vocabulary_limit(const Options& options, TokenUnit unit) {
  const std::int64_t given = options.integer("vocabulary");
  return given != 0 ? given : unit == TokenUnit::byte_pair ? 2048 : 50'000;
}

SumScore text_score(const Corpus& corpus) {
  return corpus.vocabulary.unit() == TokenUnit::word ? perplexity() : bits_per_byte();
}

KeyValues describe(const Corpus& corpus) {
  const std::pair vocabulary{std::string(kVocabularyEntry), corpus.vocabulary.fingerprint()};
  if (corpus.train.empty()) return {vocabulary};
  return {{"description",
           concat(corpus.name, ": ", corpus.train.size(), " training, ", corpus.validation.size(),
                  " validation and ", corpus.test.size(), " test tokens, ",
                  corpus.vocabulary.size(), " different ", to_text(corpus.vocabulary.unit()), 's')},
          vocabulary,
          {"training", Corpus::fingerprint(corpus.train)},
          {"validation", Corpus::fingerprint(corpus.validation)},
          {"test", Corpus::fingerprint(corpus.test)}};
}

namespace {

// What takes no text but its tokens.
Task writing_task(const std::shared_ptr<const Corpus>& corpus, const Options& options,
                  const std::function<TokenReader()>& begin,
                  const std::function<Split(const TokenIds&)>& split_of) {
  Task task;
  task.metric = text_score(*corpus).metric;
  task.file_columns = {"file", "tokens", "loss", task.metric.name};
  task.open_file = [=](const std::string& path) { return score_text(path, corpus, split_of); };
  task.generate = [=](Pass& pass) {
    return generate_text(pass, corpus->vocabulary, options, begin());
  };
  task.data = describe(*corpus);
  task.files = {{kVocabularyFile, corpus->vocabulary.save()}};
  return task;
}

}  // namespace

Task stream_task(const std::shared_ptr<const Corpus>& corpus, const RecurrentNetwork& network,
                 ParamStore& params, const Options& options) {
  require<ConfigError>(
      options.integer("accumulate") == 1, "[command line] --accumulate ",
      options.integer("accumulate"),
      " would cut streams that carry their state; lower --batch or --length instead");
  const std::int64_t streams = options.integer("batch"), length = options.integer("length");
  const Carried carried(params, network.begin(streams));
  const auto split_of = [=](const TokenIds& text) {
    return stream_split("file", corpus, text, length, network);
  };
  Task task = writing_task(
      corpus, options, [network] { return stream_reader(network); }, split_of);
  task.example = [network](Pass& pass, std::int64_t) {
    const std::vector<std::int32_t> token{0};
    std::vector<StreamState> states = network.begin(1);
    return softmax_cross_entropy(pass, network.forward(pass, token, states), token);
  };
  if (corpus->train.empty()) return task;
  const auto windows = std::make_shared<const StreamWindows>(corpus->train, streams, length);
  task.steps_per_epoch = windows->count();
  task.parts = [=](std::int64_t t) {
    return std::vector{streams * windows->length(t % windows->count())};
  };
  const LossSettings loss = loss_settings(options);
  task.settings = loss.settings();
  task.loss = [=](Pass& pass, std::int64_t t, std::int64_t) {
    const std::int64_t w = t % windows->count();
    const TokenBatch batch = windows->window(w);
    std::vector<StreamState> states = w == 0 ? network.begin(streams) : carried.load(pass.params);
    const Var logits = network.forward(pass, batch.inputs, states);
    carried.store(std::move(states), pass.effects);
    return loss(pass, logits, batch.targets);
  };
  task.splits.push_back(stream_split("validation", corpus, corpus->validation, length, network));
  if (!corpus->test.empty())
    task.splits.push_back(stream_split("test", corpus, corpus->test, length, network));
  return task;
}

Task window_task(const std::shared_ptr<const Corpus>& corpus, const WindowNetwork& network,
                 const Options& options) {
  const std::int64_t rows = options.integer("batch"), length = options.integer("length"),
                     parts = std::min(options.integer("accumulate"), rows);
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("windows");
  const auto tokens = static_cast<std::int64_t>(corpus->train.size());
  const auto split_of = [=](const TokenIds& text) {
    return window_split("file", corpus, text, length, network);
  };
  Task task = writing_task(
      corpus, options, [=] { return window_reader(network, length); }, split_of);
  // A kind is of windows that are so many tokens shorter than --length.
  task.example = [network, length](Pass& pass, std::int64_t shorter) {
    const std::vector<std::int32_t> blank(static_cast<std::size_t>(length - shorter), 0);
    return softmax_cross_entropy(pass, network(pass, blank, 1), blank);
  };
  if (corpus->train.empty()) return task;
  require<DataError>(tokens > length, "[text] the ", tokens,
                     " training tokens are too few for windows of ", length,
                     " and the token after them; shorten --length");
  const std::int64_t step =
      checked_mul(rows, length, "[command line] tokens of a step, --batch windows of --length");
  task.steps_per_epoch = ceil_div(tokens - 1, step);
  task.parts = [=](std::int64_t) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t part = 0; part < parts; ++part) sizes.push_back(part_rows(rows, parts, part));
    return sizes;
  };
  std::optional<Bound> lengths;
  if (options.find("sequence-length") != nullptr && options.has("sequence-length")) {
    lengths = sequence_lengths(options, task.steps_per_epoch);
    task.kinds = [=](std::int64_t t) {
      return std::vector{Task::Examples{.kind = length - whole(*lengths, t), .count = rows}};
    };
  }
  const LossSettings loss = loss_settings(options);
  task.settings = loss.settings();
  task.loss = [=](Pass& pass, std::int64_t t, std::int64_t part) {
    const std::int64_t at = lengths ? whole(*lengths, t) : length;
    const TokenBatch batch =
        random_windows(corpus->train, rows, at, key.fold(static_cast<std::uint64_t>(t)));
    std::int64_t first = 0;
    for (std::int64_t before = 0; before < part; ++before) first += part_rows(rows, parts, before);
    const std::int64_t count = part_rows(rows, parts, part);
    const auto cut = [&](const TokenIds& ids) {
      return std::span(ids).subspan(static_cast<std::size_t>(first * at),
                                    static_cast<std::size_t>(count * at));
    };
    return loss(pass, network(pass, cut(batch.inputs), count), cut(batch.targets));
  };
  task.splits.push_back(window_split("validation", corpus, corpus->validation, length, network));
  if (!corpus->test.empty())
    task.splits.push_back(window_split("test", corpus, corpus->test, length, network));
  return task;
}

}  // namespace ebb::train
