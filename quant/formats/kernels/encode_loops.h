#pragma once

#include "core/kernels/lanes.h"
#include "core/kernels/philox.h"

/// What the kernels share that encode in floating formats and posits: division, and the loops.
namespace ebb::kernels {
namespace {

constexpr std::uint32_t kRounding = 2;  // what the draws are for, as in grid.cpp
constexpr std::int64_t kStep = kNarrowed * kLanes;
/// 1.5 * 2^23 and 2^52: adding one to what is below 2^22, or 2^52, leaves the nearest integer.
constexpr float kRounder = 12582912.0f;
constexpr double kWhole = 4503599627370496.0;
constexpr std::uint32_t kExponent = 0x7f800000u;
constexpr std::uint64_t kLongExponent = 0x7ff0000000000000u;

inline Full::Bits bits_of(const Full::Float& x) { return reinterpret_cast<Full::Bits>(x); }
inline Full::Float floats_of(const Full::Bits& x) { return reinterpret_cast<Full::Float>(x); }
inline Half::LongBits long_bits_of(const Half::Double& x) {
  return reinterpret_cast<Half::LongBits>(x);
}
inline Half::Double doubles_of(const Half::LongBits& x) {
  return reinterpret_cast<Half::Double>(x);
}
/// 2^n as float32 and as double.
inline float power(std::int32_t n) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(n + 127) << 23);
}
inline double long_power(std::int32_t n) {
  return __builtin_bit_cast(double, static_cast<std::uint64_t>(n + 1023) << 52);
}

typedef float HalfFloat __attribute__((vector_size(2 * kLanes)));
typedef std::int32_t HalfInt __attribute__((vector_size(2 * kLanes)));

/// The lower or the upper half of a vector in double.
inline Half::Double half_of(const Full::Float& x, std::size_t half) {
  HalfFloat part;
  __builtin_memcpy(&part, reinterpret_cast<const char*>(&x) + half * sizeof part, sizeof part);
  Half::Double wide;
  widen(part, wide);
  return wide;
}

/// x / scale in float32, but rounded to odd: an inexact quotient with an even last bit moves to its
/// odd neighbour on the side of the rest. Rounding it again to at most 22 bits gives what rounding
/// the quotient itself gives.
struct Divider {
  Full::Float scale;
  bool unscaled;

  explicit Divider(float by) : scale(broadcast<Full::Float>(by)), unscaled(by == 1.0f) {}
  [[nodiscard]] Full::Float operator()(const Full::Float& x) const {
    if (unscaled) return x;
    const Full::Float quotient = x / scale;
#if defined(__FMA__) || defined(__AVX512F__)
    Full::Float rest = x;
    add_product(-quotient, scale, rest);
#else
    Full::Float rest;
    for (std::size_t half = 0; half < 2; ++half) {
      const Half::Double exact = half_of(x, half) / half_of(scale, half),
                         // scaled, so that it does not vanish in float32
          error = (exact - half_of(quotient, half)) * 0x1p60;
      HalfFloat part;
      narrow_to(error, part);
      __builtin_memcpy(reinterpret_cast<char*>(&rest) + half * sizeof part, &part, sizeof part);
    }
#endif
    // Away from zero where rest and quotient have the same sign.
    const Full::Bits bits = bits_of(quotient), signs = bits_of(rest) ^ bits;
    const auto step = reinterpret_cast<Full::Bits>(reinterpret_cast<Full::Int>(signs) >> 31) | 1u;
    const Full::Float zero{};
    const auto inexact = reinterpret_cast<Full::Bits>((rest < zero) | (rest > zero));  // no NaN
    const auto moves = inexact & ((bits & 1u) - 1u);
    return floats_of(bits + (step & moves));
  }
};

/// Codes as they are stored: sign extended.
template <class Code>
inline Full::Int stored(const Full::Bits& codes) {
  constexpr int kUnused = 32 - 8 * static_cast<int>(sizeof(Code));
  return reinterpret_cast<Full::Int>(codes << kUnused) >> kUnused;
}

/// Encodes by the codes that Nearest(format) gives of divided numbers.
template <class Nearest, class Code, class Format>
void nearest(const float* x, std::int64_t n, const Format& format, Code* out) {
  const Divider divided(format.scale);
  const Nearest code(format);
  Full::Int codes[kNarrowed];
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    for (int v = 0; v < kNarrowed; ++v)
      codes[v] = stored<Code>(code(divided(load<Full>(x + i + v * kLanes))));
    store_codes(out + i, codes);
  }
  if (i == n) return;
  for (int v = 0; v < kNarrowed; ++v)
    codes[v] = stored<Code>(code(divided(load_first(x + i + v * kLanes, n - i - v * kLanes))));
  store_codes_first(out + i, codes, n - i);
}

/// What of_half(numbers, words) gives of the halves of a vector, in double and in 64 bits.
template <class OfHalf>
Full::Bits by_halves(const Full::Float& x, const Full::Bits& words, const OfHalf& of_half) {
  Full::Bits both;
  for (std::size_t half = 0; half < 2; ++half) {
    Vector<kLanes / 2>::Bits drawn;
    __builtin_memcpy(&drawn, reinterpret_cast<const char*>(&words) + half * sizeof drawn,
                     sizeof drawn);
    const HalfInt part = of_half(half_of(x, half), __builtin_convertvector(drawn, Half::LongBits));
    __builtin_memcpy(reinterpret_cast<char*>(&both) + half * sizeof part, &part, sizeof part);
  }
  return both;
}

/// Sixteen Philox blocks give the words of 64 elements: the first words of all, then the second.
constexpr std::int64_t kGroup = 64;
constexpr int kSets = 16 / kLanes;

/// Encodes by those that Stochastic(format) gives of numbers, which it divides, and random words.
template <class Stochastic, class Code, class Format>
void stochastic(const float* x, std::int64_t n, const Format& format, std::uint64_t key,
                std::uint64_t first, Code* out) {
  const Stochastic code(format);
  for (std::int64_t i = 0; i < n; i += kGroup) {
    Full::Bits words[kSets][4];
    for (std::uint64_t set = 0; set < kSets; ++set)
      philox(key, (first + static_cast<std::uint64_t>(i)) / 4 + set * kLanes, kRounding,
             words[set]);
    for (std::int64_t q = 0; q < kGroup && i + q < n; q += kStep) {
      Full::Int codes[kNarrowed];
      for (int v = 0; v < kNarrowed; ++v) {
        const auto at = static_cast<int>(q) / kLanes + v;  // in vectors of the group
        const Full::Float numbers = load_first(x + i + q + v * kLanes, n - i - q - v * kLanes);
        const Full::Bits word = words[at % kSets][at / kSets];
        codes[v] = stored<Code>(code(numbers, word));
      }
      const std::int64_t left = n - i - q;
      if (left >= kStep) {
        store_codes(out + i + q, codes);
      } else {
        store_codes_first(out + i + q, codes, left);
      }
    }
  }
}

}  // namespace
}  // namespace ebb::kernels
