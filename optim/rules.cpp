#include <array>

#include "optim/rule.h"

namespace ebb {

extern const OptimizerRule kSgd, kAdam, kAdamW;     // each in the file of its name
extern const OptimizerRule kLowPrecisionRules[14];  // in low_precision.cpp

std::span<const OptimizerRule* const> optimizer_rules() {
  static constexpr auto kRules = [] {
    std::array<const OptimizerRule*, 3 + std::size(kLowPrecisionRules)> rules{&kSgd, &kAdam,
                                                                              &kAdamW};
    for (std::size_t i = 0; i < std::size(kLowPrecisionRules); ++i)
      rules[3 + i] = &kLowPrecisionRules[i];
    return rules;
  }();
  return kRules;
}

}  // namespace ebb
