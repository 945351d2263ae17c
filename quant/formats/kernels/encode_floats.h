#pragma once

#include <cstdint>

/// Vector kernels of encoding in floating and fixed-point formats and in posits. Only plain
/// pointers and numbers cross this line, see core/kernels/lanes.h.
namespace ebb::kernels {

/// What a kernel needs of a format whose codes are bit patterns.
struct FloatPatterns {
  float scale;                    ///< numbers are divided by it
  std::int32_t fraction;          ///< bits of it, up to 20
  std::int32_t least;             ///< the smallest normal number is 2^least, -126 .. 100
  std::int32_t max, beyond, nan;  ///< codes of the largest number, of what is larger, of NaN
  std::int32_t sign;              ///< the code's bit of it
  bool negative_zero;             ///< else a zero has no sign
};
/// What encoding takes of a format whose codes are integers times its unit.
struct FloatIntegers {
  float scale;
  float per_unit;         ///< 1 / unit, a power of two
  std::int32_t fraction;  ///< as above; 23 where all numbers are equally far apart
  float low, high;        ///< the least and the largest code
};
/// The same of a posit format, of up to 16 bits and es up to 3.
struct Posits {
  float scale;
  std::int32_t width, es;
  std::int32_t reach;  ///< the largest number is 2^reach, the smallest 2^-reach
  bool underflow;      ///< else no number becomes zero
};

template <class Code, class Format>
struct FloatEncoders {
  void (*nearest)(const float* x, std::int64_t n, const Format& format, Code* out);
  /// Stochastic, with 32 bits; x[0] is element `first`, a multiple of 64.
  void (*stochastic)(const float* x, std::int64_t n, const Format& format, std::uint64_t key,
                     std::uint64_t first, Code* out);
};

/// x is no NaN where a format has none.
struct FloatEncodeKernels {
  FloatEncoders<std::int8_t, FloatPatterns> patterns8;
  FloatEncoders<std::int16_t, FloatPatterns> patterns16;
  FloatEncoders<std::int8_t, FloatIntegers> integers8;
  FloatEncoders<std::int16_t, FloatIntegers> integers16;

  template <class Code, class Format>
  [[nodiscard]] const FloatEncoders<Code, Format>& of() const {
    constexpr bool patterns = requires(Format format) { format.beyond; };
    if constexpr (sizeof(Code) == 1 && patterns) {
      return patterns8;
    } else if constexpr (patterns) {
      return patterns16;
    } else if constexpr (sizeof(Code) == 1) {
      return integers8;
    } else {
      return integers16;
    }
  }

  static const FloatEncodeKernels portable, avx2, avx512;
};

struct PositEncodeKernels {
  /// Stochastic ones do not divide: the scale is 1.
  FloatEncoders<std::int8_t, Posits> posits8;
  FloatEncoders<std::int16_t, Posits> posits16;

  template <class Code, class Format>
  [[nodiscard]] const FloatEncoders<Code, Format>& of() const {
    if constexpr (sizeof(Code) == 1) {
      return posits8;
    } else {
      return posits16;
    }
  }

  static const PositEncodeKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
