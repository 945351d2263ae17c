#include <memory>
#include <string>
#include <utility>

#include "models/lstm/network.h"
#include "train/app/run_main.h"
#include "train/tasks/text.h"

namespace {

using namespace ebb;
using namespace ebb::train;

Program program() {
  Program program{
      .name = "ebb-lstm",
      .summary = "Trains LSTM language models in emulated low precision.",
      .archs =
          {{.name = "char-lstm",
            .summary = "for texts by bytes",
            .lr = 0.002,
            .lr_schedule = "1->0.05 : cos",
            .optimizer = "adam",
            .weight_decay = 0,
            .epochs = 5,
            .batch = 32,
            .clip = 1.0,
            .options = {{"units", "256"}, {"embedding", "64"}, {"dropout", "0.1"}}},
           {.name = "word-lstm",
            .summary = "for texts by words",
            .lr = 0.001,
            .lr_schedule = "1->0.05 : cos",
            .optimizer = "adam",
            .weight_decay = 0,
            .epochs = 10,
            .batch = 20,
            .clip = 1.0,
            .options = {{"unit", "word"}, {"units", "512"}, {"dropout", "0.5"}, {"length", "35"}}}},
      .options = text_options(),
      .presets = {
          {.name = "cpt-ptb",
           .summary =
               "the one-layer Penn Treebank model of the cyclic-precision papers, on --data DIR",
           .options = {{"arch", "word-lstm"}, {"unit", "word"},       {"layers", "1"},
                       {"units", "800"},      {"embedding", "800"},   {"dropout", "0.5"},
                       {"length", "35"},      {"batch", "20"},        {"epochs", "40"},
                       {"optimizer", "sgd"},  {"momentum", "0"},      {"lr", "20"},
                       {"lr-schedule", "1"},  {"lr-plateau", "0.25"}, {"clip", "0.25"},
                       {"weight-decay", "0"}, {"cycles", "8"},        {"min-bits", "5"},
                       {"max-bits", "8"},     {"gradient-bits", "8"}},
           .warnings = {
               "the papers' own quality for a schedule on this set: one logged run at "
               "static 8/8 is all there is",
               "CPT's own two-layer model (n = 32): its sizes and budget are not published",
               "the reference scores at the bits of the last training step; --eval-bits is "
               "--max-bits here",
               "the reference quantizes biases and gives every sample of a gate's gradient "
               "a range of its own; "
               "here biases are float32 and ranges are those of a step"}}}};
  program.options.push_back(OptionSpec::depth("1", "LSTM layers"));
  program.options.push_back(OptionSpec::count("units", "256", "units of a layer"));
  program.options.push_back(
      OptionSpec::count("embedding", "0", "width of an embedded token; 0: that of --units", 0));
  program.options.push_back(OptionSpec::probability(
      "dropout", "0", "probability of dropout of embedded tokens and of layers' outputs"));
  return program;
}

Task build(const Options& options, ParamStore& params) {
  const auto corpus = std::make_shared<const Corpus>(open_corpus(options));
  const Key key = Key(static_cast<std::uint64_t>(options.integer("seed"))).fold("initial values");
  const LstmConfig config{.layers = options.integer("layers"),
                          .units = options.integer("units"),
                          .embedding = options.integer("embedding"),
                          .dropout = options.real("dropout")};
  Task task = stream_task(corpus, make_lstm(config, corpus->vocabulary.size(), params, key), params,
                          options);
  task.settings.push_back({Hyperparameter::share("dropout", 0), config.dropout});
  return task;
}

}  // namespace

int main(int argc, char** argv) { return cli::run_main(argc, argv, {program(), build}); }
