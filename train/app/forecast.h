#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "quant/ledger.h"
#include "train/costs.h"
#include "train/loop.h"
#include "train/options/precision.h"

namespace ebb::train {

/// One layer of --dry-run.
struct LayerRow {
  Site site;
  Shape weight;             ///< [] if the site has no parameter of the name "SITE.weight"
  CostLedger::Row example;  ///< MACs by product for one example
  /// The narrowest and the widest formats of the run, by kProductOperands.
  std::array<Format, std::size(kProductOperands)> lowest{}, highest{};
};
/// What a parameter, its gradient and its optimizer's state take in their formats.
struct MemoryOfParameter {
  double bytes = 0;
  std::vector<std::pair<std::string, double>> parts{};  ///< bytes by what they are for
};
MemoryOfParameter memory_of(const Optimizer& optimizer);
std::string memory_text(const MemoryOfParameter& memory);

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
  MemoryOfParameter memory{};
};
Forecast forecast(const Task& task, const ParamStore& params, const Precision& precision,
                  std::int64_t iterations);
std::string to_json(const Forecast& forecast);
/// The same for reading: a table of layers and the totals.
std::string to_table(const Forecast& forecast);

}  // namespace ebb::train
