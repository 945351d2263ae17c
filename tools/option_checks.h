#pragma once

#include <string>

namespace CLI {
class App;
}

namespace ebb::tools {

/// A check for CLI11, whose own conversion takes the nearest integer there is for one that is too
/// large: "" or what is wrong.
std::string integer_check(const std::string& text);

/// Refuses an option that was given and has no effect with the others. @throws ConfigError
void refuse_without_effect(const CLI::App& command, const std::string& option, bool without_effect,
                           const std::string& reason);

}  // namespace ebb::tools
