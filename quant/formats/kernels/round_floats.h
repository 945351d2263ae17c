#pragma once

#include "core/kernels/lanes.h"
#include "quant/formats/kernels/float_rounding.h"

/// Rounding of float32 to the numbers of narrower floating formats, to nearest and ties to even.
/// For a + b, a - b, a b, a / b and the square root of numbers with up to 11 significant bits,
/// rounding the float32 result is rounding the exact one: float32 has at least twice their bits
/// and two more, and what is below its normal numbers is exact or too small to matter.
namespace ebb::kernels {
namespace {

inline Full::Bits bits_of(const Full::Float& x) { return reinterpret_cast<Full::Bits>(x); }
inline Full::Float floats_of(const Full::Bits& x) { return reinterpret_cast<Full::Float>(x); }
inline Full::Float chosen(const Full::Int& where, const Full::Float& yes, const Full::Float& no) {
  return where ? yes : no;
}

/// x as a number of the format. NaNs stay NaNs.
inline Full::Float round_to_format(const FloatRounding& f, const Full::Float& x) {
  if (f.shift == 0) return x;
  const Full::Bits bits = bits_of(x), magnitude = bits & 0x7fffffffu;
  const std::uint32_t last = 1u << f.shift;
  const Full::Bits above =
      (magnitude + (last / 2 - 1) + ((magnitude >> f.shift) & 1u)) & (0u - last);
  const Full::Float small = (floats_of(magnitude) + f.rounder) - f.rounder,
                    large = floats_of(above);
  const Full::Float y = chosen(floats_of(magnitude) < f.normal, small, large);
  const Full::Float held = chosen(y > f.max, Full::Float{} + f.beyond, y);
  return chosen(x == x, floats_of(bits_of(held) | (bits & 0x80000000u)), x);
}

/// The same of bf16, of which NaNs come out as some NaN or zero.
inline Full::Float round_to_bf16(const Full::Float& x) {
  const Full::Bits bits = bits_of(x);
  return floats_of((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

}  // namespace
}  // namespace ebb::kernels
