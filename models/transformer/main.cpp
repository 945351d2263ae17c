#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "models/transformer/network.h"
#include "models/transformer/recipes.h"
#include "train/app/run_main.h"
#include "train/options/conflicts.h"
#include "train/options/whole_schedule.h"
#include "train/tasks/text.h"

namespace {

using namespace ebb;
using namespace ebb::train;

std::vector<Preset> presets() {
  return {{.name = "cpt-xnli",
           .summary = "a network of BERT base's size on XNLI as the cyclic-precision "
                      "papers fine-tune it; give --data the folder",
           .options = {{"arch", "encoder"},
                       {"task", "classify"},
                       {"layers", "12"},
                       {"width", "768"},
                       {"heads", "12"},
                       {"inner", "3072"},
                       {"length", "128"},
                       {"positions", "learned"},
                       {"activation", "gelu"},
                       {"dropout", "0.1"},
                       {"vocabulary", "119545"},
                       {"language", "de"},
                       {"epochs", "2"},
                       {"batch", "64"},
                       {"optimizer", "adamw"},
                       {"lr", "1e-5"},
                       {"lr-schedule", "1->0 : lin"},
                       {"weight-decay", "0"},
                       {"clip", "1"},
                       {"cycles", "2"},
                       {"min-bits", "5"},
                       {"max-bits", "8"},
                       {"gradient-bits", "8"}},
           .warnings = {"the papers fine-tune multilingual BERT; its weights are not "
                        "here, so this starts from random ones, for which 2 epochs "
                        "at this rate are few, or --from a run of --task masked",
                        "its tokens are pieces of words, 119,547 with the special ones; "
                        "here they are words and punctuation marks",
                        "its norms come after the sums, and the embeddings are normed, "
                        "too; here before, with a last norm at the end",
                        "max-bits and gradient-bits were 8 or 6",
                        "the reference quantizes biases; here they are float32"}}};
}

Program program() {
  Program program{.name = "ebb-transformer",
                  .summary =
                      "Trains Transformers, language models and classifiers of sentence pairs, in "
                      "emulated low precision.",
                  .archs = {{.name = "decoder",
                             .summary = "causal, pre-norm",
                             .lr = 0.002,
                             .lr_schedule = "warm(100up) 1->0.05 : cos",
                             .optimizer = "adamw",
                             .weight_decay = 0.01,
                             .epochs = 5,
                             .batch = 32,
                             .clip = 1.0},
                            {.name = "encoder",
                             .summary = "bidirectional, pre-norm; labels pairs of sentences or "
                                        "predicts masked words (--task)",
                             .lr = 0.002,
                             .lr_schedule = "warm(100up) 1->0.05 : cos",
                             .optimizer = "adamw",
                             .weight_decay = 0.01,
                             .epochs = 5,
                             .batch = 32,
                             .clip = 1.0}},
                  .options = text_options()};
  for (OptionSpec& option : program.options) {
    if (option.name == "length") option.fallback = "128";
  }
  for (OptionSpec& option : pair_options()) program.options.push_back(std::move(option));
  program.options.push_back(OptionSpec::depth("4", "blocks"));
  program.options.push_back(OptionSpec::count("width", "128", "width of the residual stream"));
  program.options.push_back(OptionSpec::count("heads", "4", "heads of the attention"));
  program.options.push_back(
      OptionSpec::count("inner", "0", "width of the feed-forward part; 0: 4 times --width", 0));
  program.options.push_back({.name = "positions",
                             .value = "learned|rotary",
                             .fallback = "learned",
                             .help = "positional encoding",
                             .choices = {"learned", "rotary"}});
  program.options.push_back({.name = "activation",
                             .value = "gelu|swiglu",
                             .fallback = "gelu",
                             .help = "activation of the feed-forward part; swiglu adds a gate",
                             .choices = {"gelu", "swiglu"}});
  program.options.push_back(
      {.name = "tied",
       .value = "",
       .kind = OptionSpec::Kind::flag,
       .fallback = "false",
       .help = "the head's weights are the token embedding",
       .conflict = [](const Options& options) { return only_with(options, "arch", {"decoder"}); }});
  program.options.push_back(OptionSpec::probability(
      "dropout", "0", "probability of dropout of embedded tokens and of what a block adds"));
  program.options.push_back(
      {.name = "rope-theta",
       .value = "X",
       .kind = OptionSpec::Kind::real,
       .fallback = "10000",
       .help = "base of the angles of rotary positions; more for longer windows",
       .expected = "1 to 1e12",
       .accepts = [](double x) { return x >= 1 && x <= 1e12; },
       .conflict =
           [](const Options& options) { return only_with(options, "positions", {"rotary"}); }});
  program.options.push_back(whole_schedule_option(
      "sequence-length",
      "tokens of a window in training, at most --length, as in '64 @90% ; 128 @rest' [--length]",
      [](const Options& options) {
        return options.has("batch-multiplier")
                   ? "with --batch-multiplier, as batches then are no updates"
                   : only_with(options, "arch", {"decoder"});
      }));
  program.presets = presets();
  for (Preset& recipe : transformer_recipes()) program.presets.push_back(std::move(recipe));
  return program;
}

TransformerConfig config_of(const Options& options) {
  const bool rotary = options.text("positions") == "rotary",
             swiglu = options.text("activation") == "swiglu";
  return {.layers = options.integer("layers"),
          .width = options.integer("width"),
          .heads = options.integer("heads"),
          .inner = options.integer("inner"),
          .length = options.integer("length"),
          .positions =
              rotary ? TransformerConfig::Positions::rotary : TransformerConfig::Positions::learned,
          .activation =
              swiglu ? TransformerConfig::Activation::swiglu : TransformerConfig::Activation::gelu,
          .tied = options.flag("tied"),
          .dropout = options.real("dropout"),
          .rope_theta = options.real("rope-theta")};
}

void add_settings(Task& task, const TransformerConfig& config) {
  task.settings.push_back({Hyperparameter::share("dropout", 0), config.dropout});
  if (config.positions == TransformerConfig::Positions::rotary)
    task.settings.push_back({Hyperparameter::positive("rope-theta", 10000), config.rope_theta});
}

void check_unit(const Options& options) {
  require<ConfigError>(options.text("arch") != "encoder" || options.text("unit") == "auto" ||
                           options.text("unit") == "word",
                       "[command line] --unit: the tokens of --arch encoder are words, got ",
                       options.text("unit"));
}

Task task_of(const Options& options, const TransformerConfig& config, ParamStore& params) {
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("initial values");
  if (options.text("arch") == "decoder") {
    const auto corpus = std::make_shared<const Corpus>(open_corpus(options));
    return window_task(corpus, make_transformer(config, corpus->vocabulary.size(), params, key),
                       options);
  }
  const auto pairs = std::make_shared<const PairSet>(open_pairs(options));
  if (options.text("task") == "masked") {
    return masked_task(pairs,
                       make_encoder(config, pairs->tokens(), EncoderHead::words,
                                    pairs->vocabulary.size(), params, key),
                       options);
  }
  constexpr auto classes = static_cast<std::int64_t>(kPairLabels.size());
  return classify_task(
      pairs, make_encoder(config, pairs->tokens(), EncoderHead::classes, classes, params, key),
      options);
}

Task build(const Options& options, ParamStore& params) {
  check_unit(options);
  const TransformerConfig config = config_of(options);
  Task task = task_of(options, config, params);
  add_settings(task, config);
  return task;
}

}  // namespace

int main(int argc, char** argv) { return cli::run_main(argc, argv, {program(), build}); }
