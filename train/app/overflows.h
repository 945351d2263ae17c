#pragma once

#include <string>

#include "quant/ledger.h"

namespace ebb::train {

/// The overflow events of a ledger's narrow accumulators, for reading: "0", or "1,234: fc 1,200,
/// conv1 34" with the sites that have most.
std::string format_overflows(const CostLedger& ledger);

/// A JSON object of the sites that have any, with decimal strings by product: {"fc": {"forward":
/// "1200"}}.
std::string overflows_json(const CostLedger& ledger);

}  // namespace ebb::train
