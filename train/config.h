#pragma once

#include <string>
#include <string_view>

#include "core/text.h"

namespace ebb::train {

/// What config.json says of a run. KeyValues that are numbers or truth values appear as such in the
/// JSON.
struct RunConfig {
  std::string program{};
  KeyValues options{};   ///< every option that can change a result
  KeyValues session{};   ///< options that cannot
  KeyValues resolved{};  ///< what the options came to: iterations, schedules, parameters
  KeyValues build{};     ///< version, compiler, instruction set, kernel
  KeyValues data{};      ///< fingerprints
  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};
std::string to_json(const RunConfig& config);
/// @throws DataError for a text that is no configuration of a run
RunConfig parse_config(std::string_view text);

/// The text of a name; null if there is none.
const std::string* find_text(const KeyValues& texts, std::string_view name);

/// Names and texts as a JSON object, in which numbers and truth values are such.
std::string texts_json(const KeyValues& texts);

}  // namespace ebb::train
