#pragma once

#include <bit>
#include <cstdint>

namespace ebb {

/// 1 for infinities and NaNs, else 0. A number, so that loops which gather it with | go in vectors.
inline std::uint32_t non_finite(float x) {
  return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) == 0x7f800000u ? 1 : 0;
}

}  // namespace ebb
