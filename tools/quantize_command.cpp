#include "tools/quantize_command.h"

#include <array>
#include <charconv>
#include <cmath>
#include <istream>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/read_number.h"
#include "quant/formats/codec.h"
#include "quant/formats/grid.h"

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
float parse_number(std::string_view text, std::size_t line) {
  require<DataError>(!text.empty(), "[quantize] line ", line,
                     " is empty; expected one number a line");
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
  require<DataError>(std::isfinite(value), "[quantize] line ", line, ": ", quoted(text),
                     " has no place on a grid; expected a finite number");
  return negative ? -value : value;
}

Grid fit_grid(const Range& range, int bits, GridStyle style) {
  try {
    return Grid::fit(range, bits, style);
  } catch (const NonFiniteError& error) {
    throw NonFiniteError(concat("[quantize] ", error.what(), "; --grid symmetric holds it"));
  }
}

/// A code's bits, a digit for each four of the format.
std::string hex_code(std::uint32_t code, Format format) {
  std::string text = "0x";
  for (int digit = (format.width + 3) / 4; digit-- > 0;)
    text += "0123456789abcdef"[code >> (4 * digit) & 15];
  return text;
}

/// As printf's %a writes it, whatever the locale.
std::string hex_float(float value) {
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  const double magnitude = std::abs(static_cast<double>(value));
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, std::chars_format::hex)
          .ptr;
  return (std::signbit(value) ? "-0x" : "0x") + std::string(buffer.data(), end);
}

}  // namespace

void quantize(const QuantizeOptions& options, std::istream& in, std::ostream& out) {
  const Format format = Format::parse(options.format);
  const bool codec = has_codec(format);
  const GridStyle style = parse_grid_style(options.grid);
  const Rounding rounding = parse_rounding(options.rounding);
  require<ConfigError>(
      codec || style == GridStyle::affine || format != Format::integer(1),
      "[quantize] a symmetric grid needs at least 2 bits; use --grid affine for int1");
  require<ConfigError>(options.seed >= 0, "[quantize] expected --seed >= 0, got ", options.seed);

  std::vector<std::string> texts;
  std::vector<float> values;
  for (std::string line; std::getline(in, line);) {
    const std::string_view text = trimmed(line);
    values.push_back(parse_number(text, values.size() + 1));
    texts.emplace_back(text);
  }
  require<DataError>(!in.bad(), "[quantize] cannot read the input");
  require<DataError>(!values.empty(), "[quantize] the input is empty; expected one number a line");

  const Key key(static_cast<std::uint64_t>(options.seed));
  const auto on_grid = [&] {
    const auto count = static_cast<std::int64_t>(values.size());
    const Grid grid = fit_grid(measure_range({values.data(), count, 1, 1, 1}), format.width, style);
    return [=](float x, std::uint64_t i) {
      const int code = rounding == Rounding::stochastic ? encode(x, grid, rounding_bits(key, i))
                                                        : encode(x, grid);
      return std::pair{to_text(code), decode(code, grid)};
    };
  };
  const auto unscaled = [&](float x, std::uint64_t i) {
    const std::uint32_t code = encode(format, x, 1.0f, rounding, key, i);
    return std::pair{hex_code(code, format), decode(format, code, 1.0f)};
  };
  const auto print = [&](const auto& quantized) {
    out << "input\tcode\tvalue\n";
    for (std::size_t i = 0; i < values.size() && out; ++i) {
      const auto [code, value] = quantized(values[i], i);
      out << texts[i] << '\t' << code << '\t' << hex_float(value) << '\n';
    }
  };
  codec ? print(unscaled) : print(on_grid());
  out.flush();
  require<DataError>(static_cast<bool>(out),
                     "[quantize] cannot write the table: is the disk full or the pipe closed?");
}

}  // namespace ebb::tools
