#pragma once

#include <cstdint>
#include <string>

#include "core/text.h"

namespace ebb::tools {

/// A check for CLI11, whose own conversion takes the nearest integer there is for one that is too large: "" or what is wrong.
inline std::string integer_check(const std::string& text) {
  std::int64_t value = 0;
  return parse(text, value) ? "" : concat("expected an integer, got '", text, "'");
}

}  // namespace ebb::tools
