#pragma once

#include <span>
#include <string>

#include "quant/ledger.h"
#include "quant/plan.h"

namespace ebb {

/// Checks that every name in a plan, the pattern of an exception or a site with formats of its own, means a site that the ledger
/// was charged for. A misspelt keep_fp32 would leave its layer quantized without a word; in a loop of one's own the ledger knows
/// all sites after the first step:
///
///     if (t == 0) require_known_sites(plan, ledger);
///
/// Names in `optional` may be absent.
/// @throws ConfigError naming the first unknown name, the nearest known one and all that are known
void require_known_sites(const PrecisionPlan& plan, const CostLedger& ledger, std::span<const std::string> optional = {});

}  // namespace ebb
