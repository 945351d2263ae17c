#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

// The codec of floating formats: from the top bit a sign, exponent E and fraction F. Codes stand
// for 2^(E - bias) (1 + F / 2^fraction), and for 2^(1 - bias) F / 2^fraction where E = 0.

namespace ebb::floating {

bool parse(std::string_view text, Format& format);
std::string print(Format format);
void require_valid(Format format);

/// The largest finite number.
double max(Format format);
/// The smallest positive number, of which all are multiples.
double unit(Format format);

/// The nearest number, ties to the even code; or, stochastically, the one above by the probability
/// that makes the expected value x, to 2^-32 of the distance of its neighbours. What rounds to
/// beyond the largest number saturates or becomes an infinity. Zeros keep their sign; x is no NaN.
std::uint32_t encode(Format format, double x, Rounding rounding, std::uint32_t random);
float decode(Format format, std::uint32_t code);

}  // namespace ebb::floating
