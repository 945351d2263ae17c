#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quant/ledger.h"
#include "train/loop.h"
#include "train/precision.h"
#include "train/record.h"

namespace ebb::train {

/// What config.json says of a run. KeyValues that are numbers or truth values appear as such in the
/// JSON.
struct RunConfig {
  std::string program;
  KeyValues options{};   ///< every option that can change a result
  KeyValues session{};   ///< options that cannot
  KeyValues resolved{};  ///< what the options came to: iterations, schedules, parameters
  KeyValues build{};     ///< version, compiler, instruction set, kernel
  KeyValues data{};      ///< fingerprints
  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};
std::string to_json(const RunConfig& config);
/// @throws DataError for a text that is no configuration of a run
RunConfig parse_config(std::string_view text);

/// The kernel that multiplies dense operands under a plan.
std::string kernel_name(const PrecisionPlan& plan, Simd simd);
/// Version, compiler, instruction set and kernel.
KeyValues build_fingerprint(const PrecisionPlan& plan, Simd simd);

/// The mean loss of the last epoch's steps, of all if they are fewer; none without steps.
std::optional<double> training_loss(const History& history, std::int64_t steps_per_epoch);

/// What a run came to: the object of --json.
struct Summary {
  std::string metric{};                                     ///< what the splits are scored by
  std::vector<std::pair<std::string, double>> baselines{};  ///< of the task
  std::optional<EvalRow> test{}, validation{};              ///< the last evaluation of that split
  std::optional<double> train_loss{};                       ///< see training_loss
  CostLedger ledger, evaluation_ledger;
  RelativeCost cost;
  std::optional<double> seconds_per_step{};  ///< median
  std::int64_t peak_rss_bytes = 0;
  std::string weights_sha256;
  std::int64_t iterations = 0;
  std::string kernel;
  bool interrupted = false;
};
/// `plan` is one of the run's, by which its kernel is named.
Summary summarize(const History& history, const RunState& state, const Task& task,
                  const SiteFormats& reference, const PrecisionPlan& plan, Simd simd);
std::string to_json(const Summary& summary);

/// What --generate --json says: the text, its tokens, and what writing it cost.
std::string to_json(const Generated& generated, const CostLedger& ledger);

/// One layer of --dry-run.
struct LayerRow {
  Site site;
  Shape weight;                 ///< [] if the site has no parameter of the name "SITE.weight"
  CostLedger::Row example;      ///< MACs by product for one example
  SiteFormats lowest, highest;  ///< the narrowest and the widest formats of the run, by role
};
/// What --dry-run shows.
struct Forecast {
  std::vector<LayerRow> layers{};
  std::string unit = "one example";  ///< that MACs are counted for
  std::int64_t parameters = 0, iterations = 0, steps_per_epoch = 0,
               examples = 0;  ///< examples of the first step
  std::string bits, gradient_bits,
      rate;                ///< schedule expressions; no gradient's where that of the bits has them
  KeyValues arithmetic{};  ///< see arithmetic_options
  std::vector<RateGroup> rate_groups{};  ///< see Precision
  CostLedger ledger{};                   ///< predicted
  RelativeCost cost{};
};
Forecast forecast(const Task& task, const ParamStore& params, const Precision& precision,
                  std::int64_t iterations);
std::string to_json(const Forecast& forecast);
/// The same for reading: a table of layers and the totals.
std::string to_table(const Forecast& forecast);

/// Names and texts as a JSON object, in which numbers and truth values are such.
std::string texts_json(const KeyValues& texts);

/// A table whose columns are aligned: numbers right, texts left. The first row is the heading.
/// Cells are shown printable.
std::string format_table(std::vector<std::vector<std::string>> rows);

/// Names and values below each other, aligned and printable.
std::string format_facts(std::vector<std::vector<std::string>> rows);

/// A ratio of costs beside what it is a ratio of: "0.6612 of 8/8/8".
std::string format_cost(double ratio, const SiteFormats& reference);

/// The most memory that the process has had.
std::int64_t peak_rss_bytes();

/// With so many decimals, for reading; what must be exact goes through to_text.
std::string format_fixed(double value, int decimals);

/// "12,345,678".
std::string with_separators(uint128 value);

}  // namespace ebb::train
