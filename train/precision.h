#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "quant/ledger.h"
#include "quant/plan.h"
#include "schedules/length.h"
#include "train/loop.h"
#include "train/options.h"

namespace ebb::train {

/// What the precision and rate options come to for a run of known length.
struct Precision {
  std::function<PrecisionPlan(std::int64_t t)> plan;
  std::function<double(std::int64_t t)> rate;  ///< --lr times --lr-schedule
  PrecisionPlan evaluation;                    ///< of evaluations
  PrecisionPlan reference;                     ///< see reference_plan
  std::string bits_text, rate_text;            ///< the schedules as expressions
  std::vector<std::string> doubts;             ///< legal settings that probably are not meant, each a sentence
};

/// Reads the expressions only, so that a mistake is found before any data are loaded.
/// @throws ConfigError marking the place of the mistake
void check_expressions(const Options& options);

/// Static max-bits: the plan that costs are relative to.
PrecisionPlan reference_plan(const Options& options);

/// @throws ConfigError for expressions that do not fit a run of these totals, or bits that are no width at some iteration
Precision resolve_precision(const Options& options, const Totals& totals);

/// Every name of --keep-fp32 must mean a layer. Groups that every model may have or lack (first, last, shortcut) may be absent.
/// @throws ConfigError naming the unknown layer and the nearest known one
void check_keep_fp32(const Options& options, std::span<const CostLedger::Row> sites);

/// The products of one example, forward and backward, found by running the task's blank example in float32 on a copy of the
/// parameters; MACs are proportional to the number of examples. Of a task that charges its steps itself, those of the first step.
CostLedger count_example(const Task& task, const ParamStore& params);

/// The ledger that a run will end with, to the bit-operation, from the products of one example.
CostLedger predict(const CostLedger& example, const Task& task, const std::function<PrecisionPlan(std::int64_t)>& plan,
                   std::int64_t iterations);

/// Costs relative to the reference plan on the same examples; 1 when nothing was multiplied.
struct RelativeCost {
  double exact = 1;  ///< the ledger's bit-operations by the same products under the reference plan
  double paper = 1;  ///< the same in the papers' whole-model accounting, see CostLedger::close_iteration
};
RelativeCost relative_cost(const CostLedger& ledger, const PrecisionPlan& reference);

}  // namespace ebb::train
