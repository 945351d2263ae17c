#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schedules/schedule.h"

namespace ebb {

/// The settings that the named precision schedules share. q_min and q_max of the papers are
/// min_bits and max_bits.
struct CyclicPrecision {
  std::int64_t cycles = 8;
  int min_bits = 3, max_bits = 8;
  CycleLength length = CycleLength::floor_plus_one;
};

/// static, fp32 and the ten cyclic schedules CR LR ER RR CT LT ETV ETH RTV RTH. The first letter is
/// the profile (cosine, linear, exponential, REX), R is repeated, T triangular (begins at max_bits
/// and falls), V and H how the falling half mirrors the rising one.
std::vector<std::string> precision_schedule_names();

/// The schedule of bits behind a name, an ordinary expression: CR is round(3->8 : cycle(8) cos).
/// Source: Fu et al., arXiv 2101.09868 (CR); Wolfe & Kyrillidis, arXiv 2403.02243 (all ten).
/// @throws ConfigError for an unknown name, bits outside 1..16, min_bits > max_bits and cycles < 1
Schedule precision_schedule(std::string_view name, const CyclicPrecision& settings = {});

/// How much a named schedule saves, by its mean cost relative to static max_bits: about 0.40, 0.63
/// and 0.82 for 3..8 bits.
enum class Savings : std::uint8_t { none, small, medium, large };
Savings savings_of(std::string_view name);

/// The mean over the run of q^2 + 2 q g, the bit operations of a step per multiply-accumulate of
/// the forward products, for bits q and gradient bits g. Where q is fp32, so is the gradient: that
/// is plain training, 3 x 32^2.
struct PrecisionCost {
  double mean_bits = 0;
  double relative = 1;  ///< the mean cost divided by `reference_cost`
  double savings_percent() const { return 100.0 * (1.0 - relative); }
};
/// @param reference_cost the bit operations that costs are relative to: 192 of 8 bits throughout
/// @throws ConfigError if a value is no width (see Value::bits)
PrecisionCost precision_cost(const Bound& bits, int gradient_bits, std::uint64_t reference_cost);

/// The warnings of the schedule itself, and whether its cycles are too short for the profile ever
/// to reach max_bits.
std::vector<std::string> precision_warnings(const Bound& bits, int max_bits);

}  // namespace ebb
