#pragma once

#include <string_view>

namespace ebb::report {

/// page.css and page.js, which the build puts into a source file.
extern const std::string_view kPageStyle, kPageScript;

}  // namespace ebb::report
