#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/formats/format.h"

// Formats as text: a name, and in parentheses what it takes and what differs from what the name
// alone stands for. docs/FORMATS.md has the grammar.

namespace ebb {

/// What stands at the beginning of a text, read as a format.
struct FormatText {
  Format format{};
  std::size_t length = 0;  ///< characters that it takes; 0 if no format has such a name
  std::string problem{};   ///< empty if it is a format
  std::size_t place = 0;   ///< of the problem
};
FormatText read_format(std::string_view text);
/// What to say of a text at whose beginning is no name of a format.
std::string unknown_format(std::string_view text);

/// Sets what an option KEY=VALUE in a format's text says. @throws ConfigError for an option that
/// the format has not, or a value that it cannot have
void set_option(Format& format, std::string_view key, std::string_view value);

/// Names that have more of a description than a row of format_traits() reads, such as mxfp4.
struct FormatName {
  std::string_view text, description;
  bool printed = true;  ///< else it is only read
};
std::span<const FormatName> format_names();
/// What messages list as formats: names, and families such as "int1 .. int16".
std::vector<std::string> known_formats();

/// Splits at commas that stand in no parentheses: "int4, e4m3(bias=11,inf=no)" are two.
std::vector<std::string> split_list(std::string_view text);

}  // namespace ebb
