#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

namespace ebb {

/// How an integer format's 2^N codes are laid over the reals.
enum class GridStyle : std::uint8_t {
  affine,  ///< codes 0 .. 2^N-1 over minimum .. maximum; both end points are codes, zero in general
           ///< is not
  symmetric,  ///< codes -(2^(N-1)-1) .. 2^(N-1)-1 times max|x| / (2^(N-1)-1); zero is a code; N >=
              ///< 2
};

std::string to_text(GridStyle style);
std::string to_text(Rounding rounding);
GridStyle parse_grid_style(std::string_view text);
Rounding parse_rounding(std::string_view text);

/// Everything that decides how one operand becomes codes.
struct Encoding {
  Format format{};
  GridStyle grid = GridStyle::affine;
  Rounding rounding = Rounding::nearest_even;
  friend constexpr bool operator==(const Encoding&, const Encoding&) = default;
};

}  // namespace ebb
