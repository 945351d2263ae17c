#include <memory>
#include <string>
#include <utility>

#include "models/cli/run_main.h"
#include "models/transformer/network.h"
#include "train/text.h"

namespace {

using namespace ebb;
using namespace ebb::train;

Program program() {
  Program program{.name = "ebb-transformer",
                  .summary = "Trains Transformer language models in emulated low precision.",
                  .archs = {{.name = "decoder",
                             .summary = "causal, pre-norm",
                             .lr = 0.002,
                             .lr_schedule = "warm(100up) 1->0.05 : cos",
                             .optimizer = "adamw",
                             .weight_decay = 0.01,
                             .epochs = 5,
                             .batch = 32,
                             .clip = 1.0}},
                  .settings = text_settings()};
  for (Setting& setting : program.settings) {
    if (setting.name == "length") setting.fallback = "128";
  }
  program.settings.push_back(Setting::count("layers", "4", "blocks"));
  program.settings.push_back(Setting::count("width", "128", "width of the residual stream"));
  program.settings.push_back(Setting::count("heads", "4", "heads of the attention"));
  program.settings.push_back(Setting::count("inner", "0", "width inside the feed-forward part; 0: 4 times --width", 0));
  program.settings.push_back({.name = "positions",
                              .value = "learned|rotary",
                              .fallback = "learned",
                              .help = "how tokens know their places",
                              .choices = {"learned", "rotary"}});
  program.settings.push_back({.name = "activation",
                              .value = "gelu|swiglu",
                              .fallback = "gelu",
                              .help = "inside the feed-forward part; swiglu has a second product up",
                              .choices = {"gelu", "swiglu"}});
  program.settings.push_back({.name = "tied",
                              .value = "",
                              .kind = Setting::Kind::flag,
                              .fallback = "false",
                              .help = "the head's weights are the token embedding"});
  program.settings.push_back(
      Setting::probability("dropout", "0", "probability of dropout of embedded tokens and of what a block adds"));
  return program;
}

Task build(const Options& options, ParamStore& params) {
  const auto corpus = std::make_shared<const Corpus>(open_corpus(options));
  const Key key = Key(static_cast<std::uint64_t>(options.seed)).fold("initial values");
  const bool rotary = options.text("positions") == "rotary", swiglu = options.text("activation") == "swiglu";
  const TransformerConfig config{.layers = options.integer("layers"),
                                 .width = options.integer("width"),
                                 .heads = options.integer("heads"),
                                 .inner = options.integer("inner"),
                                 .length = options.integer("length"),
                                 .positions = rotary ? TransformerConfig::Positions::rotary : TransformerConfig::Positions::learned,
                                 .activation = swiglu ? TransformerConfig::Activation::swiglu : TransformerConfig::Activation::gelu,
                                 .tied = options.flag("tied"),
                                 .dropout = options.real("dropout")};
  return window_task(corpus, make_transformer(config, corpus->vocabulary.size(), params, key), options);
}

}  // namespace

int main(int argc, char** argv) { return cli::run_main(argc, argv, {program(), build}); }
