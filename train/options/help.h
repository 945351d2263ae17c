#pragma once

#include <string>

#include "train/options/options.h"

namespace ebb::train {

/// What --help shows: every option in its group with its default, by architecture where these
/// differ, the architectures, the presets and the exit codes.
std::string help_text(const Program& program);

/// What an architecture makes of an option that is not given.
std::string default_text(const OptionSpec& option, const Arch& arch);

/// The texts of all options that an architecture has defaults for.
KeyValues defaults_of(const Arch& arch);

}  // namespace ebb::train
