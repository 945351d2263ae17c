#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "quant/accumulator.h"
#include "quant/formats/encoding.h"
#include "train/options/conflicts.h"
#include "train/options/groups.h"
#include "train/options/options.h"
#include "train/options/precision.h"

namespace ebb::train {

void check(const Options& options, const Program& program) {
  static_cast<void>(find_arch(program, options.text("arch")));
  for (const OptionSpec& option : options.specs) {
    if (!option.text().empty()) check(option, option.text());
  }
  require<ConfigError>(options.integer("min-bits") <= options.integer("max-bits"),
                       "[command line] --min-bits ", options.text("min-bits"),
                       " is above --max-bits ", options.text("max-bits"), "; exchange them");

  const bool symmetric = options.text("grid") == "symmetric";
  Format scored;
  const bool one_bit =
      find_width(options.text("eval-bits"), scored) && scored == Format::integer(1);
  require<ConfigError>(
      !symmetric || (options.integer("min-bits") >= 2 && !one_bit),
      "[command line] --grid symmetric has no grid of 1 bit; use 2 bits and more, or --grid "
      "affine");
  const std::string& gradients =
      options.text(options.has("gradient-grid") ? "gradient-grid" : "grid");
  require<ConfigError>(gradients != "symmetric" || options.text("gradient-bits") != "1",
                       "[command line] gradients of 1 bit have no symmetric grid; use 2 bits and "
                       "more, or --gradient-grid affine");
  require<ConfigError>(
      !options.flag("simulate") || Accumulator::parse(options.text("accumulator")).is_exact(),
      "[command line] --simulate multiplies in float32, which has no "
      "--accumulator ",
      options.text("accumulator"));

  const bool multiplies = options.has("multiplier") && options.text("multiplier") != "none";
  require<ConfigError>(!options.flag("simulate") || !multiplies,
                       "[command line] --simulate multiplies in float32, not by the table of "
                       "--multiplier; give one of them");

  if (options.gave("accumulate") && options.has("batch") && !options.has("evaluate") &&
      conflict_on_whole_graphs(options).empty())
    require<ConfigError>(options.integer("accumulate") <= options.integer("batch"),
                         "[command line] --accumulate: expected 1 to ", options.text("batch"),
                         ", the --batch that is cut, got ", options.text("accumulate"));
}

void check_keep_fp32(const Options& options, std::span<const Site> sites) {
  const std::span<const std::string> groups = optional_tags();
  for (const std::string& pattern : split_at(options.text("keep-fp32"), ',')) {
    const bool known =
        std::ranges::any_of(sites, [&](const Site& site) { return site.matches(pattern); });
    if (known || std::ranges::find(groups, pattern) != groups.end()) continue;
    std::vector<std::string> names = layer_names(sites);
    for (const std::string& tag : groups) {
      if (std::ranges::find(names, tag) == names.end()) names.push_back(tag);
    }
    throw ConfigError(
        concat("[command line] --keep-fp32: ", unknown_word("layer", pattern, names)));
  }
}

}  // namespace ebb::train
