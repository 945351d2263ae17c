#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ebb {

/// Names and their texts, in order: options, resolved settings, fingerprints.
using KeyValues = std::vector<std::pair<std::string, std::string>>;

/// Bit-operation counts pass 2^64 in long runs. Both compilers have the type; it is only outside
/// the letter of ISO C++.
__extension__ typedef unsigned __int128
    uint128;  // NOLINT(modernize-use-using): __extension__ takes no using

/// Locale-free text of a value. Reals print as the shortest decimal that reads back to the same
/// bits.
std::string to_text(double value);
std::string to_text(float value);
std::string to_text(std::int64_t value);
std::string to_text(std::uint64_t value);
std::string to_text(uint128 value);
inline std::string to_text(std::string_view value) { return std::string(value); }
inline std::string to_text(const char* value) { return value; }
inline std::string to_text(const std::string& value) { return value; }
inline std::string to_text(char value) { return std::string(1, value); }
inline std::string to_text(bool value) { return value ? "true" : "false"; }
template <std::signed_integral I>
std::string to_text(I value) {
  return to_text(static_cast<std::int64_t>(value));
}
template <std::unsigned_integral U>
std::string to_text(U value) {
  return to_text(static_cast<std::uint64_t>(value));
}

/// Joins the texts of its parts: concat("k=", 3) is "k=3". A part may be of any type that has a
/// to_text.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (text.append(to_text(parts)), ...);
  return text;
}

/// Joins words with a separator: "a, b, c".
std::string join_words(std::span<const std::string> words, std::string_view separator = ", ");

/// Splits at every separator; "a,,b" gives three words, "" gives none.
std::vector<std::string> split_at(std::string_view text, char separator);

/// The known word with the smallest edit distance to `given`; empty if nothing is close enough to
/// be a likely typing mistake.
std::string nearest_word(std::string_view given, std::span<const std::string> known);

/// "unknown WHAT 'given'; did you mean 'x'? Known: a, b, c" for error messages.
std::string unknown_word(std::string_view what, std::string_view given,
                         std::span<const std::string> known);

/// Reads a whole text as a number; false if any of it is left over or the value does not fit.
bool parse_number(std::string_view text, std::int64_t& value);
bool parse_number(std::string_view text, double& value);

}  // namespace ebb
