#include "train/options/moot.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace ebb::train {

void refuse_given(const Options& options, std::string_view name, std::string_view reason) {
  require<ConfigError>(reason.empty() || !options.gave(name), "[command line] --", name,
                       " means nothing ", reason, "; leave it out");
}

std::string unless(const Options& options, std::string_view option,
                   std::initializer_list<std::string_view> texts) {
  const KeyValues all = option_texts(options, false);
  const auto found = std::ranges::find(all, option, &KeyValues::value_type::first);
  if (found == all.end() || std::ranges::find(texts, found->second) != texts.end()) return "";
  const std::vector<std::string> words(texts.begin(), texts.end());
  return concat("with --", option, ' ', found->second, ", only with --", option, ' ',
                join_words(words, " or "));
}

std::string moot_without_schedule_of_bits(const Options& options) {
  if (!options.bits.empty()) return "beside --bits, only with a --schedule";
  return options.schedule == "fp32" ? "with --schedule fp32, which has no bits to choose" : "";
}

std::string moot_without_cycles(const Options& options) {
  if (!options.bits.empty()) return "beside --bits, only with a --schedule of cycles";
  const bool constant = options.schedule == "static" || options.schedule == "fp32";
  return constant ? concat("with --schedule ", options.schedule, ", which has no cycles") : "";
}

std::string moot_without_momentum(const Options& options) {
  return unless(options, "optimizer", {"sgd"});
}

std::string moot_on_whole_graphs(const Options& options) {
  const bool whole = std::ranges::any_of(options.settings, [](const OptionSpec& setting) {
    return setting.name == "fanout" && setting.text == "all";
  });
  return whole ? "with --fanout all, where every step takes the whole graph" : "";
}

}  // namespace ebb::train
