#include "train/options/option_file.h"

#include <toml++/toml.h>

#include <string_view>

#include "core/error.h"
#include "core/text.h"
#include "train/config.h"
#include "train/files.h"

namespace ebb::train {
namespace {

std::string place_of(const toml::source_region& source) {
  return concat("line ", source.begin.line, ", column ", source.begin.column);
}

// As it would stand on the command line.
std::string text_of(const std::string& path, std::string_view name, const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return to_text(integer->get());
  if (const auto* real = node.as_floating_point()) return to_text(real->get());
  if (const auto* truth = node.as_boolean()) return to_text(truth->get());
  throw ConfigError(concat("[config] ", path, ", ", place_of(node.source()), ": ", name,
                           ": expected a text, a number, true or false"));
}

OptionFile from_toml(const std::string& path, std::string_view text) {
  try {
    const toml::table all = toml::parse(text);
    const toml::table* const named = all["options"].as_table();
    OptionFile file{.options = {}, .written = true};
    for (const auto& [key, node] : named != nullptr ? *named : all)
      file.options.emplace_back(std::string(key.str()), text_of(path, key.str(), node));
    return file;
  } catch (const toml::parse_error& error) {
    throw ConfigError(concat("[config] ", path, ", ", place_of(error.source()), ": ",
                             error.description(), "; expected TOML, as in lr = 0.1"));
  }
}

}  // namespace

OptionFile read_options(const std::string& path, const std::string& program) {
  const std::string text = read_file(path);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] != '{') return from_toml(path, text);
  try {
    const RunConfig config = parse_config(text);
    require<ConfigError>(config.program == program, "[config] ", path, " is of a run of ",
                         config.program, ", not of ", program);
    return {.options = config.options, .written = false};
  } catch (const DataError& error) {
    throw ConfigError(concat("[config] ", path, ": ", error.what()));
  }
}

}  // namespace ebb::train
