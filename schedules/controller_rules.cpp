#include "schedules/controller.h"

namespace ebb {

// Each in the file of its name.
extern const ControllerRule kAdaptEps, kAutoLrs, kPhases, kPlateau, kRecord, kVolSched;

std::span<const ControllerRule* const> controller_rules() {
  static constexpr const ControllerRule* kRules[] = {&kPlateau, &kVolSched, &kAdaptEps,
                                                     &kAutoLrs, &kRecord,   &kPhases};
  return kRules;
}

}  // namespace ebb
