#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/params.h"
#include "quant/cost_model.h"
#include "quant/ledger.h"
#include "quant/plan.h"
#include "train/loop.h"

namespace ebb::train {

/// The products of one example of a kind (Task::example), forward and backward: its loss is run and
/// swept, but products are charged and not done (Pass::counting). Charged as float32.
CostLedger count_example(const Task& task, const ParamStore& params, std::int64_t kind = 0);

/// Every plan of a run once, in the order of first use.
std::vector<PrecisionPlan> distinct_plans(const std::function<PrecisionPlan(std::int64_t)>& plan,
                                          std::int64_t iterations);

/// The ledger that a run will end with, to the bit-operation: every step is so many examples of the
/// kinds that it has (Task::kinds).
CostLedger predict(const Task& task, const ParamStore& params,
                   const std::function<PrecisionPlan(std::int64_t)>& plan, std::int64_t iterations);

/// Costs relative to those of the same products at the reference's widths, with no layer kept in
/// fp32; 1 when nothing was multiplied.
struct RelativeCost {
  double exact = 1;  ///< of the ledger's products, as the model counts
  double paper = 1;  ///< in the papers' whole-model accounting, see CostLedger::close_iteration
  CostBasis basis{};
};
/// @throws DataError if the ledger does not know what the model needs, see cost()
RelativeCost relative_cost(const CostLedger& ledger, const CostBasis& basis);
/// In every model that the ledger knows enough for, at its standard settings; bit-operations are
/// the first.
std::vector<RelativeCost> relative_costs(const CostLedger& ledger, const SiteFormats& reference);

}  // namespace ebb::train
