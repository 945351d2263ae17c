#include "tools/numbers.h"

#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <istream>
#include <utility>

#include "core/error.h"
#include "core/read_number.h"
#include "core/text.h"
#include "data/npy.h"

namespace ebb::tools {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// As it may stand in a message: short, and printable.
std::string quoted(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 40)) shown += c >= ' ' && c <= '~' ? c : '?';
  return "'" + shown + (text.size() > 40 ? "..." : "") + "'";
}

/// The nearest float32 of "-1.5", "1e-3" or "0x1.8p-1".
float parse_float(std::string_view text, std::size_t line, bool non_finite) {
  require<DataError>(!text.empty(), "[quantize] line ", line,
                     " is empty; expected one number per line");
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  float value = 0;
  const bool unsigned_digits = !digits.starts_with('-');
  const char* const last = digits.data() + digits.size();
  const auto [end, code] =
      read_real(digits, value, hex ? std::chars_format::hex : std::chars_format::general);
  require<DataError>(unsigned_digits && end == last && code != std::errc::invalid_argument,
                     "[quantize] line ", line,
                     ": expected a number such as -0.25, 1e-3 or 0x1.8p-1, got ", quoted(text));
  require<DataError>(code != std::errc::result_out_of_range, "[quantize] line ", line, ": ",
                     quoted(text), " is beyond float32, which ends at 3.4e38 in magnitude");
  require<DataError>(non_finite || std::isfinite(value), "[quantize] line ", line, ": ",
                     quoted(text), " has no place on a grid; expected a finite number");
  return negative ? -value : value;
}

}  // namespace

std::string Numbers::text(std::size_t i) const {
  return texts.empty() ? to_text(values[i]) : texts[i];
}

Numbers read_lines(std::istream& in, bool non_finite) {
  Numbers numbers;
  for (std::string line; std::getline(in, line);) {
    const std::string_view text = trimmed(line);
    numbers.values.push_back(parse_float(text, numbers.values.size() + 1, non_finite));
    numbers.texts.emplace_back(text);
  }
  require<DataError>(!in.bad(), "[quantize] cannot read the input");
  require<DataError>(!numbers.values.empty(),
                     "[quantize] the input is empty; expected one number per line");
  numbers.cols = std::ssize(numbers.values);
  return numbers;
}

Numbers read_numbers(const std::string& file, bool non_finite) {
  if (!file.ends_with(".npy")) {
    std::ifstream in(file);
    require<DataError>(in.is_open(), "[quantize] cannot open ", file);
    return read_lines(in, non_finite);
  }
  const Tensor array = read_npy(file);
  require<DataError>(array.size() > 0, "[quantize] the array of ", file, " is empty");
  Numbers numbers;
  numbers.values.assign(array.values().begin(), array.values().end());
  numbers.rows = array.shape().rank() > 1 ? array.shape()[0] : 1;
  numbers.cols = array.size() / numbers.rows;
  for (std::size_t i = 0; i < numbers.values.size() && !non_finite; ++i)
    require<DataError>(std::isfinite(numbers.values[i]), "[quantize] element ", i, " of ", file,
                       " is ", numbers.values[i], ", which has no place on a grid");
  return numbers;
}

std::string hex_code(std::uint32_t code, Format format) {
  std::string text = "0x";
  for (int digit = (format.width + 3) / 4; digit-- > 0;)
    text += "0123456789abcdef"[code >> (4 * digit) & 15];
  return text;
}

std::string hex_float(float value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  const double magnitude = std::abs(static_cast<double>(value));
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, std::chars_format::hex)
          .ptr;
  return (std::signbit(value) ? "-0x" : "0x") + std::string(buffer.data(), end);
}

std::string json_number(double value) {
  if (std::isfinite(value)) return to_text(value);
  return std::isnan(value) ? "\"nan\"" : value < 0 ? "\"-inf\"" : "\"inf\"";
}

Scaling::Kind parse_scale(std::string_view command, const std::string& text) {
  constexpr std::pair<std::string_view, Scaling::Kind> kScales[] = {
      {"none", Scaling::Kind::none},
      {"absmax", Scaling::Kind::absmax},
      {"pow2", Scaling::Kind::pow2}};
  std::vector<std::string> known;
  for (const auto& [name, kind] : kScales) {
    if (text == name) return kind;
    known.emplace_back(name);
  }
  throw ConfigError(concat("[", command, "] ", unknown_word("scale", text, known)));
}

}  // namespace ebb::tools
