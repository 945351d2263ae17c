#pragma once

#include <cstdint>

#include "core/text.h"
#include "quant/formats/format.h"

// What all codecs round by: where a magnitude lies between the numbers of two neighbouring codes,
// and which of them it becomes.

namespace ebb {

/// Where a magnitude lies between two neighbouring numbers.
struct Place {
  bool exact = true;        ///< equal to the lower one
  int side = -1;            ///< compared with the midpoint: -1 below, 0 equal, 1 above
  std::uint64_t share = 0;  ///< part of the distance, in 2^-bits of a Draw, nearest, ties to even
};

/// At n / 2^shift of the distance, n < 2^53 and n < 2^shift.
inline Place place_at(std::uint64_t n, int shift, int bits) {
  if (n == 0) return {};
  // Beyond, the magnitude is so near to the lower number that no draw can round it up.
  if (shift > 100) return {.exact = false};
  const auto rest = static_cast<uint128>(n), half = static_cast<uint128>(1) << (shift - 1);
  Place place{.exact = false, .side = rest < half ? -1 : rest > half ? 1 : 0};
  if (shift <= bits) {
    place.share = n << (bits - shift);
  } else {
    const int cut = shift - bits;
    const uint128 below = rest >> cut, left = rest - (below << cut),
                  middle = static_cast<uint128>(1) << (cut - 1);
    place.share = static_cast<std::uint64_t>(below) +
                  (left > middle || (left == middle && below % 2 == 1) ? 1 : 0);
  }
  return place;
}

/// Whether a magnitude becomes the upper of its two neighbours; `odd` says whether the code of the
/// lower one is.
inline bool rounds_up(const Place& place, bool odd, bool negative, Rounding rounding, Draw draw) {
  switch (rounding) {
    case Rounding::nearest_even: return place.side > 0 || (place.side == 0 && odd);
    case Rounding::nearest_away: return place.side >= 0;
    case Rounding::toward_zero: return false;
    case Rounding::away: return !place.exact;
    case Rounding::up: return !place.exact && !negative;
    case Rounding::down: return !place.exact && negative;
    case Rounding::odd: return !place.exact && !odd;
    case Rounding::stochastic: break;
  }
  return (place.share + (draw.word >> (32 - draw.bits))) >> draw.bits != 0;
}

/// Whether what is beyond the largest number stays at it: a rounding that never leads away from
/// zero has no overflow, and `odd` keeps to finite numbers.
inline bool keeps_finite(Rounding rounding, bool negative) {
  return rounding == Rounding::toward_zero || rounding == Rounding::odd ||
         rounding == (negative ? Rounding::up : Rounding::down);
}

}  // namespace ebb
