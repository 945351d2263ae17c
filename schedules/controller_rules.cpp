#include "schedules/controller.h"

namespace ebb {

extern const ControllerRule kPlateau;  // each in the file of its name

std::span<const ControllerRule* const> controller_rules() {
  static constexpr const ControllerRule* kRules[] = {&kPlateau};
  return kRules;
}

}  // namespace ebb
