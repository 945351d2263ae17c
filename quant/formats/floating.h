#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

// The codec of floating formats: from the top bit a sign, exponent E and fraction F. Codes stand
// for 2^(E - bias) (1 + F / 2^fraction), and for 2^(1 - bias) F / 2^fraction where E = 0.

namespace ebb::floating {

std::optional<std::string> parse(std::string_view name, std::span<const std::string_view> arguments,
                                 Format& format);
std::string print(Format format);
std::string problem(Format format);

/// The largest finite number, and its code.
double max(Format format);
std::uint32_t max_code(Format format);
/// The smallest positive number, of which all are multiples.
double unit(Format format);
bool has_nan(Format format);
bool has_infinity(Format format);

/// Rounds as if exponents had no end; what is then beyond the largest number becomes what
/// Format::overflow says. Zeros keep their sign where the format has -0. Where it has no sign,
/// negative numbers become its smallest number.
std::uint32_t encode(Format format, double x, Rounding rounding, Draw draw);
float decode(Format format, std::uint32_t code);

}  // namespace ebb::floating
