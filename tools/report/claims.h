#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/text.h"
#include "tools/report/comparison.h"
#include "tools/report/table.h"

namespace ebb::report {

/// Configurations with the first options are said to score better than those with the second.
struct Claim {
  std::string says;
  KeyValues better, than;
};

/// What the runs say of a claim.
struct Verdict {
  std::string says;
  std::optional<std::size_t> better{}, than{};  ///< the configurations that were compared
  std::optional<PairedDifference> effect{};     ///< seed by seed; above 0 if it is as claimed
  /// supported, not separable, contradicted; or not tested, for want of two seeds with finished
  /// runs on both sides.
  std::string word;
};

/// Of several configurations that have a side's options the one stands for it that scores best on
/// average, on the validation set where all of them have one, so that what is tuned is not what is
/// compared. A claim is supported, or contradicted, if the 95 % interval of the paired differences
/// of seeds lies on one side of 0.
std::vector<Verdict> judge(const Comparison& comparison, std::span<const Claim> claims);

/// The verdicts, for reading and for programs.
Table table_of(const Comparison& comparison, std::span<const Verdict> verdicts);

inline constexpr const char* kHowToReadClaims =
    "A difference is the mean over seeds of what lies between two runs of one seed, with its 95 % "
    "interval of Student's t; above 0 it is as claimed. A claim is supported, or contradicted, if "
    "the interval leaves out 0, and not separable otherwise. Of several configurations the one "
    "that "
    "scores best on the validation set stands for its side. No correction for the number of "
    "claims.";

}  // namespace ebb::report
