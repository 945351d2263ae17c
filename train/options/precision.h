#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quant/cost_model.h"
#include "quant/ledger.h"
#include "quant/plan.h"
#include "schedules/length.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::train {

/// Parameters that share their learning rate, and between what it lies over the run.
struct RateGroup {
  std::vector<std::string> parameters{};
  double lowest = 0, highest = 0;
};

/// What the precision and rate options come to for a run of known length.
struct Precision {
  std::function<PrecisionPlan(std::int64_t t)> plan{};
  /// --lr times --lr-schedule; in a group that of `*`.
  std::function<double(std::int64_t t)> rate{};
  /// The rate of each entry of the store, where --lr-schedule has a group that gives them rates of
  /// their own.
  std::function<std::vector<double>(std::int64_t t)> rates{};
  std::vector<RateGroup> rate_groups{};  ///< empty without `rates`
  /// Every operand at the narrowest format that training ever has for it, and at the widest.
  PrecisionPlan narrowest{}, widest{};
  /// The plan of evaluations; none: that of the last update, --eval-bits current.
  std::optional<PrecisionPlan> evaluation{};
  CostBasis costs{};  ///< --cost-reference and --cost-model
  /// The schedules as expressions; no gradient's if --bits has it.
  std::string bits_text{}, gradient_text{}, rate_text{};
  /// What evaluations and products have beside widths, see arithmetic_options.
  KeyValues arithmetic{};
  /// Legal settings that probably are not meant, each a sentence.
  std::vector<std::string> warnings{};
};

/// The table of --multiplier; null without one. @throws DataError for a file that is none
std::shared_ptr<const Multiplier> multiplier_of(const Options& options);

/// Reads the expressions only, so that a mistake is found before any data are loaded.
/// @throws ConfigError marking the place of the mistake
void check_expressions(const Options& options);

/// True if a group of --bits has a part for gradients, which then are not what --gradient-bits
/// says.
bool sets_gradients(const Options& options);

/// @throws ConfigError for expressions that do not fit a run of these totals, bits that are no
/// width at some iteration, and parts of
///         groups that are for nothing in the model (docs/SCHEDULES.md), with the nearest name
Precision resolve_precision(const Options& options, const Totals& totals,
                            std::span<const Site> sites = {}, const ParamStore& params = {});

/// Refuses options of codes that were given where no product ever has codes: in training and
/// evaluations, or where the options
/// --evaluate or --generate stand in evaluations alone.
/// @throws ConfigError naming the option
void check_codes(const Options& options, const Precision& precision, std::span<const Site> sites);

/// Every name of --keep-fp32 must mean a layer. Groups that every model may have or lack (first,
/// last, shortcut) may be absent.
/// @throws ConfigError naming the unknown layer and the nearest known one
void check_keep_fp32(const Options& options, std::span<const Site> sites);

}  // namespace ebb::train
