#include "train/options/conflicts.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "optim/optimizer.h"
#include "train/options/precision.h"

namespace ebb::train {

void refuse_given(const Options& options, std::string_view name, std::string_view reason) {
  require<ConfigError>(reason.empty() || !options.gave(name), "[command line] --", name,
                       " has no effect ", reason, "; leave it out");
}

std::string only_with(const Options& options, std::string_view option,
                      std::initializer_list<std::string_view> texts) {
  const OptionSpec* found = options.find(option);
  if (found == nullptr || std::ranges::find(texts, found->text()) != texts.end()) return "";
  const std::vector<std::string> words(texts.begin(), texts.end());
  return concat("with --", option, ' ', found->text(), ", only with --", option, ' ',
                join_words(words, " or "));
}

std::string conflict_without_schedule_of_bits(const Options& options) {
  if (options.has("bits")) return "with --bits, only with a --schedule";
  return options.text("schedule") == "fp32" ? "with --schedule fp32, which has no bits to choose"
                                            : "";
}

std::string conflict_without_cycles(const Options& options) {
  if (options.has("bits")) return "with --bits, only with a --schedule of cycles";
  const std::string& schedule = options.text("schedule");
  const bool constant = schedule == "static" || schedule == "fp32";
  return constant ? concat("with --schedule ", schedule, ", which has no cycles") : "";
}

std::string conflict_with_gradient_format(const Options& options) {
  if (options.has("gradient-format")) return "with --gradient-format, which says it";
  return conflict_with_gradients_in_bits(options);
}

std::string conflict_with_gradients_in_bits(const Options& options) {
  return sets_gradients(options) ? "with a --bits whose group has a part for gradients" : "";
}

std::string conflict_without_momentum(const Options& options) {
  return options.text("optimizer").starts_with("sgd-") ? ""
                                                       : only_with(options, "optimizer", {"sgd"});
}

std::string conflict_without_hyperparameter(const Options& options, std::string_view name) {
  const OptimizerRule& rule = find_optimizer(options.text("optimizer"));
  const bool has = std::ranges::find(rule.hyperparameters, name, &Hyperparameter::name) !=
                   rule.hyperparameters.end();
  return has ? "" : concat("with --optimizer ", rule.name, ", which has none");
}

std::string conflict_without_low_precision(const Options& options) {
  const OptimizerRule& rule = find_optimizer(options.text("optimizer"));
  return rule.formats == StateFormats{}
             ? concat("with --optimizer ", rule.name,
                      ", which keeps everything in float32, only with one in low precision such "
                      "as collage-plus")
             : "";
}

std::string conflict_on_whole_graphs(const Options& options) {
  const OptionSpec* fanout = options.find("fanout");
  return fanout != nullptr && fanout->text() == "all"
             ? "with --fanout all, where every step takes the whole graph"
             : "";
}

std::string conflict_without_training(const Options& options) {
  for (const char* other : {"evaluate", "generate", "dump", "export"}) {
    if (options.gave(other)) return concat("with --", other, ", where nothing is trained");
  }
  return "";
}

std::string conflict_without_chosen_run(const Options& options) {
  return options.gave("evaluate") || options.gave("generate") || options.gave("export")
             ? ""
             : "without --evaluate, which scores a run that was trained";
}

bool saves(const Options& options) { return options.text("out") != "none"; }

std::string conflict_without_run_directory(const Options& options) {
  const std::string untrained = conflict_without_training(options);
  return !untrained.empty() || saves(options) ? untrained
                                              : "with --out none, where nothing is saved";
}

}  // namespace ebb::train
