#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "quant/formats/format.h"

namespace ebb::tools {

/// What a command is given to quantize, rows after rows.
struct Numbers {
  std::vector<std::string> texts;  ///< as they were written; empty for arrays
  std::vector<float> values;
  std::int64_t rows = 1, cols = 0;

  [[nodiscard]] std::string text(std::size_t i) const;
};

/// One number per line, each the nearest float32. What is no finite number is refused unless
/// `non_finite`. @throws DataError that names the line
Numbers read_lines(std::istream& in, bool non_finite);
/// A file of lines, or an array .npy, whose first axis is its rows.
Numbers read_numbers(const std::string& file, bool non_finite);

/// A code's bits, a digit for each four of the format.
std::string hex_code(std::uint32_t code, Format format);
/// As printf's %a writes it, whatever the locale.
std::string hex_float(float value);
/// A number of JSON, or one of the strings "nan", "inf", "-inf".
std::string json_number(double value);

/// What --scale says of formats that are on no grid: none, absmax or pow2. @throws ConfigError
Scaling::Kind parse_scale(std::string_view command, const std::string& text);

}  // namespace ebb::tools
