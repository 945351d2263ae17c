#include <string>

#include "core/error.h"
#include "quant/accumulator.h"
#include "quant/formats/encoding.h"
#include "train/options/conflicts.h"
#include "train/options/options.h"

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
  require<ConfigError>(
      !symmetric || (options.integer("min-bits") >= 2 && options.text("eval-bits") != "1"),
      "[command line] --grid symmetric has no grid of 1 bit; use 2 bits and more, or --grid "
      "affine");
  const std::string& gradients =
      options.text(options.has("gradient-grid") ? "gradient-grid" : "grid");
  require<ConfigError>(gradients != "symmetric" || options.text("gradient-bits") != "1",
                       "[command line] gradients of 1 bit have no symmetric grid; use 2 bits and "
                       "more, or --gradient-grid affine");
  require<ConfigError>(!options.flag("simulate") || options.text("accumulator") == "exact",
                       "[command line] --simulate multiplies in float32, which has no "
                       "--accumulator ",
                       options.text("accumulator"));

  if (options.gave("accumulate") && options.has("batch") && !options.has("evaluate") &&
      conflict_on_whole_graphs(options).empty())
    require<ConfigError>(options.integer("accumulate") <= options.integer("batch"),
                         "[command line] --accumulate: expected 1 to ", options.text("batch"),
                         ", the --batch that is cut, got ", options.text("accumulate"));
}

}  // namespace ebb::train
