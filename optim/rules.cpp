#include "optim/rule.h"

namespace ebb {

extern const Rule kSgd, kAdam, kAdamW;  // each in the file of its name

std::span<const Rule* const> optimizer_rules() {
  static constexpr const Rule* kRules[] = {&kSgd, &kAdam, &kAdamW};
  return kRules;
}

}  // namespace ebb
