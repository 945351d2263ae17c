#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quant/formats/format.h"

namespace ebb {

/// How the codes of an integer format of N bits are laid over the reals.
enum class GridStyle : std::uint8_t {
  affine,  ///< codes 0 .. 2^N-1 over minimum .. maximum; both end points are codes, zero in general
           ///< is not
  symmetric,  ///< codes -(2^(N-1)-1) .. 2^(N-1)-1 times max|x| / (2^(N-1)-1); zero is a code; N >=
              ///< 2
};

/// A rounding as options have it: "nearest-even", "stochastic", "sr8" with 8 random bits.
struct RoundingMode {
  Rounding rounding = Rounding::nearest_even;
  std::uint8_t random_bits = 0;  ///< of stochastic rounding; 0: as many as a format has
  friend constexpr bool operator==(const RoundingMode&, const RoundingMode&) = default;
};

std::string to_text(GridStyle style);
std::string to_text(Rounding rounding);
std::string to_text(RoundingMode mode);
GridStyle parse_grid_style(std::string_view text);
/// Reads a rounding other than srN.
Rounding parse_rounding(std::string_view text);
RoundingMode parse_rounding_mode(std::string_view text);

/// Everything that decides how one operand becomes codes.
struct Encoding {
  Format format{};
  GridStyle grid = GridStyle::affine;
  Rounding rounding = Rounding::nearest_even;
  std::uint8_t random_bits = 0;  ///< of stochastic rounding; 0: 16 on a grid, 32 of other formats
  friend constexpr bool operator==(const Encoding&, const Encoding&) = default;
};

}  // namespace ebb
