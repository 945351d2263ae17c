#include "optim/rule.h"

namespace ebb {

extern const OptimizerRule kSgd, kAdam, kAdamW;  // each in the file of its name

std::span<const OptimizerRule* const> optimizer_rules() {
  static constexpr const OptimizerRule* kRules[] = {&kSgd, &kAdam, &kAdamW};
  return kRules;
}

}  // namespace ebb
