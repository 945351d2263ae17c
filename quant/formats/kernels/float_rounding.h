#pragma once

#include <cstdint>

/// Only plain numbers, as in encode.h.
namespace ebb::kernels {

/// How float32 becomes a number of a floating format of up to 11 significant bits.
struct FloatRounding {
  std::int32_t shift = 0;  ///< bits of a float32's fraction that are left out; 0: stays as it is
  float normal = 0;        ///< the smallest normal number
  float rounder = 0;  ///< 1.5 * 2^23 times the smallest number: adding and taking it away rounds
  float max = 0, beyond = 0;  ///< the largest number; what a magnitude that rounds to more becomes
};

}  // namespace ebb::kernels
