#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/read_number.h"
#include "core/simd.h"
#include "quant/formats/format.h"
#include "quant/ledger.h"
#include "train/options/moot.h"
#include "train/options/options.h"

namespace ebb::train {

void check(const Options& options, const Program& program) {
  static_cast<void>(find_arch(program, options.arch));
  for (const OptionSpec& setting : options.settings) {
    if (!setting.text.empty()) check(setting, setting.text);
  }
  const auto expect = [](bool ok, std::string_view name, std::string_view expected,
                         const auto& got) {
    require<ConfigError>(ok, "[command line] --", name, ": expected ", expected, ", got ", got);
  };
  const auto one_of = [](std::string_view name, const std::string& text,
                         const std::vector<std::string>& known) {
    require<ConfigError>(std::find(known.begin(), known.end(), text) != known.end(),
                         "[command line] --", name, ": ", unknown_word("value", text, known));
  };
  const auto at_least_one = [&](std::string_view name, std::optional<std::int64_t> value) {
    if (value) expect(*value >= 1, name, "an integer of 1 and more", *value);
  };
  const auto width = [&](std::string_view name, const std::string& text,
                         std::string_view others = "") {
    Format format;
    expect(find_width(text, format), name, concat("1 to 16 bits or a format", others),
           concat("'", text, "'"));
  };

  at_least_one("cycles", options.cycles);
  one_of("period", options.period, {"floor+1", "floor"});
  for (const auto& [name, bits] :
       {std::pair{"min-bits", options.min_bits}, {"max-bits", options.max_bits}}) {
    expect(bits >= 1 && bits <= Format::kMaxIntegerBits, name, "1 to 16 bits", bits);
  }
  require<ConfigError>(options.min_bits <= options.max_bits, "[command line] --min-bits ",
                       options.min_bits, " is above --max-bits ", options.max_bits,
                       "; exchange them");
  if (std::int64_t bits = 0; parse_number(options.gradient_bits, bits))
    width("gradient-bits", options.gradient_bits);  // or a schedule
  if (!options.eval_bits.empty() && options.eval_bits != "current")
    width("eval-bits", options.eval_bits, ", or current");
  static_cast<void>(parse_cost_reference(options.cost_reference));
  const bool symmetric = parse_grid_style(options.grid) == GridStyle::symmetric;
  const bool symmetric_gradients =
      options.gradient_grid.empty()
          ? symmetric
          : parse_grid_style(options.gradient_grid) == GridStyle::symmetric;
  require<ConfigError>(!symmetric || (options.min_bits >= 2 && options.eval_bits != "1"),
                       "[command line] --grid symmetric has no grid of 1 bit; use 2 bits and more, "
                       "or --grid affine");
  require<ConfigError>(!symmetric_gradients || options.gradient_bits != "1",
                       "[command line] gradients of 1 bit have no symmetric grid; use 2 bits and "
                       "more, or --gradient-grid affine");
  const Accumulator accumulator = Accumulator::parse(options.accumulator);
  require<ConfigError>(
      !options.simulate || accumulator.is_exact(),
      "[command line] --simulate multiplies in float32, which has no --accumulator ",
      options.accumulator);

  at_least_one("iterations", options.iterations);
  at_least_one("epochs", options.epochs);
  at_least_one("batch", options.batch);
  at_least_one("accumulate", options.accumulate);
  if (options.gave("accumulate") && options.batch && options.evaluate.empty() &&
      moot_on_whole_graphs(options).empty())
    expect(options.accumulate <= *options.batch, "accumulate",
           concat("1 to ", *options.batch, ", the --batch that is cut"), options.accumulate);
  at_least_one("eval-every", options.eval_every);
  if (options.optimizer) one_of("optimizer", *options.optimizer, {"sgd", "adam", "adamw"});
  const auto is_float = [](double value) {
    return value >= 1e-30 && value <= 1e30;
  };  // well within float32
  for (const auto& [name, value] :
       {std::pair{"lr", options.lr}, {"weight-decay", options.weight_decay}})
    if (value) expect(*value == 0 || is_float(*value), name, "0, or 1e-30 to 1e30", *value);
  if (options.lr_plateau)
    expect(*options.lr_plateau > 0 && *options.lr_plateau < 1, "lr-plateau",
           "a factor above 0 and below 1", *options.lr_plateau);
  if (options.clip)
    expect(is_float(*options.clip), "clip", "a norm of 1e-30 to 1e30", *options.clip);
  expect(options.momentum >= 0 && options.momentum < 1, "momentum", "a number of 0 to below 1",
         options.momentum);
  expect(options.seed >= 0, "seed", "an integer of 0 and more", options.seed);

  expect(options.threads >= 1 && options.threads <= 1024, "threads", "1 to 1024", options.threads);
  parse_simd(options.simd);
  at_least_one("save-every", options.save_every);
  at_least_one("statistics-every", options.statistics_every);
}

}  // namespace ebb::train
