#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

// The codec of posits: a sign, a regime of r equal bits ended by the other one, up to es bits of
// exponent, and a fraction in what is left. Codes of negative numbers are the two's complement.

namespace ebb::posit {

std::optional<std::string> parse(std::string_view name, std::span<const std::string_view> arguments,
                                 Format& format);
std::string print(Format format);
std::string problem(Format format);

/// maxpos and minpos.
double max(Format format);
double unit(Format format);

/// Rounds the string of bits: the middle between codes u and u + 1 is the number of the code u with
/// a 1 behind it. Stochastic rounding goes by the distances of the numbers. Numbers never round to
/// NaR, which infinities and NaN become, nor to zero unless Format::underflow says so: then 0 comes
/// before minpos, and the middle between them is minpos / 2^(2^es).
std::uint32_t encode(Format format, double x, Rounding rounding, Draw draw);
float decode(Format format, std::uint32_t code);

}  // namespace ebb::posit
