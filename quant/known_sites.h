#pragma once

#include <span>
#include <string>

#include "quant/ledger.h"
#include "quant/plan.h"

namespace ebb {

/// Checks that every rule of a plan is for a site that the ledger was charged for. A misspelt
/// keep_fp32 would leave its layer quantized without a word.
///
/// Every backward sweep begins with this check: its ledger knows the sites of the pass by then. A
/// plan that is for several networks, or for one of which a pass uses a part, says so (`plan.shared
/// = true`) and is spared. Its program calls this once the ledger has seen all of them, and so does
/// one that never trains, after an evaluation:
///
///     if (t == 0) require_known_sites(plan, ledger);
///
/// Names in `optional` may be absent.
/// @throws ConfigError naming the first unknown name, the nearest known one and all that are known
void require_known_sites(const PrecisionPlan& plan, const CostLedger& ledger,
                         std::span<const std::string> optional = {});

}  // namespace ebb
