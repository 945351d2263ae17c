#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/text.h"

namespace ebb::study {

/// Where something stands in a study file, both from 1.
struct Place {
  std::int64_t line = 0, column = 0;
};

/// An option with its value, named as on the command line.
struct Setting {
  std::string option, text;  ///< "true" and "false" of a flag
  bool flag = false;
  Place place{};
};

/// Settings that belong together: a single run, a combination left out, the baseline.
struct Group {
  std::vector<Setting> settings{};
  Place place{};
};

/// An option of the grid with the values it takes in turn.
struct Axis {
  std::string option;
  std::vector<Setting> values;
  Place place{};
};

/// What is said of the results: configurations of the first options score better than those of the
/// second. The file tells nobody whether it is so; see report::judge.
struct Hypothesis {
  std::string says{};
  Group better{}, than{};
  Place place{};
};

/// What a study file says, in the order of the file.
struct Study {
  std::string path{};     ///< of the file, for messages
  std::string name{};     ///< title of the report
  std::string program{};  ///< name or path
  std::string out{};      ///< folder with a directory for every run
  std::vector<Setting> options{};
  std::vector<Axis> grid{};
  std::vector<Group> runs{}, excluded{};
  std::optional<Group> baseline{};
  std::vector<Hypothesis> claims{};
};

/// @throws ConfigError with line and column for a text that is no TOML, and for keys and values
/// that no study has
Study parse_study(std::string_view text, const std::string& path);

/// Replaces an option of all runs, or adds it: "data=DIR". @throws ConfigError for another text
void set_option(Study& study, const std::string& text);

/// Has every configuration run with seeds 1 .. n in place of the study's. @throws ConfigError
/// unless n >= 1 and the study lists seeds from 1 on, in its grid or in its single runs
void set_seeds(Study& study, std::int64_t n);

/// Throws a ConfigError about a place in the file.
template <class... Parts>
[[noreturn]] void complain(const Study& study, const Place& place, const Parts&... parts) {
  throw ConfigError(
      concat("[study] ", study.path, ':', place.line, ':', place.column, ": ", parts...));
}

}  // namespace ebb::study
