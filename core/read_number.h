#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

namespace ebb {

/// std::from_chars, except that a number too small for the type reads as zero: only one that is too
/// large is out of range.
std::from_chars_result read_real(std::string_view text, float& value,
                                 std::chars_format format = std::chars_format::general);
std::from_chars_result read_real(std::string_view text, double& value,
                                 std::chars_format format = std::chars_format::general);

/// Reads an integer in the one way that to_text writes it, as it stands in a name: the 8 of "int8",
/// but no 08, +8 or -0.
bool parse_canonical(std::string_view text, std::int64_t& value);

}  // namespace ebb
