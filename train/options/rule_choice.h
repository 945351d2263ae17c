#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "train/options/groups.h"
#include "train/options/numerics.h"

namespace ebb::train {

inline constexpr std::size_t kNoRule = static_cast<std::size_t>(-1);

/// Whether --keep-fp32 names a site.
inline bool is_kept(const Site& site, const std::vector<std::string>& kept) {
  return std::ranges::any_of(kept, [&](const std::string& name) { return site.matches(name); });
}

/// Chooses among the rules of a --numerics file those of the highest rank, and refuses the file
/// where two of one rank contradict each other or a rule has no effect.
class RuleChoice {
 public:
  /// @throws ConfigError for a rule that is for no site, or only for kept ones
  RuleChoice(std::span<const NumericsRule> rules, std::span<const Site> sites,
             const std::vector<std::string>& kept)
      : rules_(rules), used_(rules.size()) {
    for (std::size_t r = 0; r < rules.size(); ++r) {
      const auto is_for = [&](const Site& site) { return rules_[r].is_for(site); };
      if (std::ranges::none_of(sites, is_for))
        refuse(r, unknown_word("site", rules_[r].pattern, layer_names(sites)));
      const bool all_kept = std::ranges::all_of(
          sites, [&](const Site& site) { return !is_for(site) || is_kept(site, kept); });
      if (all_kept) refuse(r, "--keep-fp32 leaves all that it is for in float32");
    }
  }

  /// The rule that is for a site, and for what is_for(rule) says, and whose says(rule) is not
  /// empty; kNoRule if there is none. @throws ConfigError for two that say different things
  template <class IsFor, class Says>
  std::size_t operator()(const Site& site, const IsFor& is_for, const Says& says) {
    std::size_t best = kNoRule;
    int highest = -1;
    for (std::size_t r = 0; r < rules_.size(); ++r) {
      if (!rules_[r].is_for(site) || !is_for(rules_[r]) || says(rules_[r]).empty()) continue;
      const int rank = rules_[r].rank(site);
      if (rank == highest && says(rules_[r]) != says(rules_[best]))
        refuse(r, concat("it contradicts rule ", best + 1, ", ", toml_of(rules_[best]), ", at ",
                         site.name, "; make one of them more specific, or leave it out"));
      if (rank == highest) used_[r] = true;
      if (rank <= highest) continue;
      best = r;
      highest = rank;
    }
    if (best != kNoRule) used_[best] = true;
    return best;
  }

  /// @throws ConfigError for a rule that was never chosen
  void require_all_used() const {
    for (std::size_t r = 0; r < rules_.size(); ++r) {
      if (!used_[r])
        refuse(r, "it has no effect: rules that are more specific say all that it says");
    }
  }

 private:
  [[noreturn]] void refuse(std::size_t rule, const std::string& why) const {
    throw ConfigError(concat("[command line] --numerics: rule ", rule + 1, ", ",
                             toml_of(rules_[rule]), ": ", why));
  }

  std::span<const NumericsRule> rules_;
  std::vector<bool> used_;
};

}  // namespace ebb::train
