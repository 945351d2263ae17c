#pragma once

#include <cstdint>
#include <span>

#include "core/key.h"
#include "core/range.h"
#include "core/simd.h"
#include "core/tensor.h"
#include "quant/formats/encoding.h"

namespace ebb {

/// Range of a matrix; a negative zero counts as zero. The result does not depend on order, threads
/// or SIMD level.
Range measure_range(const ConstMatrix& x, Simd simd = Simd::scalar);

/// Equally spaced reals: code c stands for scale * c + offset.
///
/// affine: codes 0 .. 2^bits-1, offset = minimum, scale = (max - min) / (2^bits - 1) in float32, or
/// 1e-8 for a constant range. symmetric: codes -(2^(bits-1)-1) .. 2^(bits-1)-1, offset = 0, scale =
/// max|x| / (2^(bits-1)-1), or 1e-8 for all zeros. A quotient that underflows to zero becomes the
/// smallest positive float. If the highest code would decode to infinity, the scale is the largest
/// float for which it does not.
struct Grid {
  int bits = 8;
  float scale = 1.0f;
  float offset = 0.0f;
  GridStyle style = GridStyle::affine;

  /// Highest and lowest code.
  [[nodiscard]] int high() const {
    return style == GridStyle::affine ? (1 << bits) - 1 : (1 << (bits - 1)) - 1;
  }
  [[nodiscard]] int low() const { return style == GridStyle::affine ? 0 : -high(); }
  /// Codes are stored as code - centre, so that they fit a signed container of `bits` bits.
  [[nodiscard]] int centre() const { return style == GridStyle::affine ? 1 << (bits - 1) : 0; }
  /// The real number that the stored code 0 stands for, scale * centre + offset, in double.
  [[nodiscard]] double stored_zero() const {
    return static_cast<double>(scale) * centre() + static_cast<double>(offset);
  }

  /// The grid over a range. @throws NonFiniteError unless min, max and max - min are finite;
  /// ConfigError unless 1 <= bits <= 16, or for a symmetric grid of 1 bit
  static Grid fit(const Range& range, int bits, GridStyle style);
  friend bool operator==(const Grid&, const Grid&) = default;
};

/// Nearest code, ties to even, saturating: round(clamp((x - offset) / scale, low, high)), with
/// float32 subtraction and division.
int encode(float x, const Grid& grid);
/// Stochastic: with v = clamp((x - offset) / scale, low, high) and f = v - floor(v), rounds up iff
/// 65536 f > bits + 1/2. P(up) is f rounded to the nearest multiple of 2^-16, so a code's expected
/// value is off by at most 2^-17 of a step, and codes that hit the grid stay.
int encode(float x, const Grid& grid, std::uint16_t bits);
/// Under any rounding: with v as above a code is exact where v is whole. What goes away from or
/// toward zero goes by the sign of x, and ties of nearest_away too. Stochastic rounding sees the
/// first bits of a word as those of other formats do.
int encode(float x, const Grid& grid, Rounding rounding, Draw draw);
/// scale * code + offset, each operation rounded to float32.
float decode(int code, const Grid& grid);

/// The 16 random bits of element i: word (i / 16) % 4, half (i / 64) % 2 of Philox block 16 (i /
/// 128) + i % 16. The interleaving lets vectors of 8 or 16 lanes, each lane a block of its own,
/// write consecutive elements.
std::uint16_t rounding_bits(Key key, std::uint64_t i);
/// The 32 of formats with a codec: word (i / 16) % 4 of block 16 (i / 64) + i % 16.
std::uint32_t rounding_word(Key key, std::uint64_t i);

/// Encodes n consecutive elements with one grid into stored (centred) codes. Stochastic element j
/// of x draws rounding_bits(key, first + j). `Code` is std::int8_t (bits <= 8) or std::int16_t.
/// @throws ConfigError for other roundings than nearest_even and stochastic, which go element by
/// element
template <class Code>
void encode_run(const float* x, std::int64_t n, const Grid& grid, Rounding rounding, Key key,
                std::uint64_t first, Simd simd, Code* out);
extern template void encode_run(const float*, std::int64_t, const Grid&, Rounding, Key,
                                std::uint64_t, Simd, std::int8_t*);
extern template void encode_run(const float*, std::int64_t, const Grid&, Rounding, Key,
                                std::uint64_t, Simd, std::int16_t*);

}  // namespace ebb
