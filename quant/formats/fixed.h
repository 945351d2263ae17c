#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

// The codec of fixed-point formats: codes are integers in two's complement, which stand for
// themselves times 2^-fraction. Those with a scale leave the lowest code unused, so that codes are
// symmetric.

namespace ebb::fixed {

/// Reads "fixedW.F", and "bfp(m,block,e)": elements of a sign and m bits, in blocks that share an
/// exponent of e bits.
std::optional<std::string> parse(std::string_view name, std::span<const std::string_view> arguments,
                                 Format& format);
std::string print(Format format);
std::string problem(Format format);

/// The largest number, and the largest magnitude of a code.
double max(Format format);
std::int64_t largest(Format format);
double unit(Format format);

/// Saturates. x is no NaN.
std::uint32_t encode(Format format, double x, Rounding rounding, Draw draw);
float decode(Format format, std::uint32_t code);

}  // namespace ebb::fixed
