#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "layers/observer.h"
#include "layers/quality.h"
#include "quant/accumulator.h"

namespace ebb {

/// What else is asked of a step: what would its operands and sums have been in other formats?
struct Probe {
  std::vector<Format> formats{};
  std::vector<Accumulator> accumulators{};  ///< narrow ones whose overflow events are counted
};

/// What the sums of a site's products would be if both operands were in one integer format.
struct ProductSums {
  std::string site;
  Product product = Product::forward;
  Format format;
  std::int64_t sums = 0;  ///< outputs of these products
  int bits = 1;           ///< width of the narrowest two's complement register that holds each sum
  /// Events of the probe's accumulators, as CostLedger counts those of a plan.
  std::vector<std::pair<Accumulator, uint128>> overflows{};
};

/// What an observer of passes found. Each operand has a row, in the order in which they were
/// encoded; a site's products of a kind have one.
struct Measurements {
  std::vector<OperandQuality> operands{};  ///< in the passes' own formats
  std::vector<OperandQuality> probed{};    ///< in those of the probe
  std::vector<ProductSums> sums{};
};

/// An observer that measures into what it refers to: own operands if `own` is true, and what the
/// probe asks for. Sums are read as float32 and so are exact up to 2^24; of larger ones `bits` is
/// that of the rounded sum. Events are exact.
Observer measuring(Measurements& into, bool own, const Probe& probe);

}  // namespace ebb
