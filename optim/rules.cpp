#include "optim/rule.h"

namespace ebb {

std::span<const Rule* const> optimizer_rules() {
  static constexpr const Rule* kRules[] = {&kSgd, &kAdam, &kAdamW};
  return kRules;
}

}  // namespace ebb
