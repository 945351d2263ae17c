#pragma once

#include <string>

#include "train/options/options.h"

namespace ebb::train {

/// The options of a file: the config.json of a run of this program, or a TOML of names and values,
/// at its top or in a table [options].
struct OptionFile {
  KeyValues options;
  bool written = false;  ///< by somebody for this, so that what has no effect is a mistake; a run
                         ///< lists all options that there are
};
/// @throws DataError if the file cannot be read; ConfigError with line and column for a text that
/// is neither
OptionFile read_options(const std::string& path, const std::string& program);

}  // namespace ebb::train
