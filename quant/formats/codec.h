#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "core/key.h"
#include "core/range.h"
#include "quant/formats/encoding.h"
#include "quant/formats/grid.h"

// Encoding and decoding in formats that have a codec, whose codes stand for scale * decode(code);
// and what an operand stores for an element, in these formats and in those on a Grid.

namespace ebb {

/// The scale of a format over a range. By Scaling::Kind::absmax it is max|x| / max in float32,
/// which maps the largest magnitude to the format's largest number; by `none`, and if the range is
/// only zero, it is 1; by `pow2` and `e8m0` the power of two of Scaling::Rule. Of linear formats
/// scale * unit is so rounded, with max in units. A quotient that underflows to zero becomes the
/// smallest positive float. If the largest number would decode to infinity, the scale is the
/// largest float for which it does not. @throws NonFiniteError unless the range is finite
float fit_scale(Format format, const Range& range);
/// The number that the stored code 1 stands for where scales are 1: FormatTraits::unit of linear
/// formats with a codec, 1 of all others.
float stored_unit(Format format);

/// The code of x / scale, the quotient in double. Stochastic rounding of element i of a tensor
/// draws the first bits of rounding_word(key, i), by default all 32.
std::uint32_t encode(Format format, float x, float scale, Rounding rounding, Key key,
                     std::uint64_t i, std::uint8_t random_bits = 0);
/// The numbers of all 2^width codes of a format with a codec and up to 16 bits. They are found once
/// and kept; may be called from any thread.
std::span<const float> all_numbers(Format format);
/// scale * decode(code) in float32.
float decode(Format format, std::uint32_t code, float scale);

/// What an operand stores of x, element i of its tensor: the code (on a grid, less its centre), or
/// the value where the format's container holds values.
template <class Code>
Code encode_element(float x, std::int64_t i, const Grid& grid, const Encoding& encoding, Key key);
/// The same of n elements that follow each other, the first of which is element `first`.
template <class Code>
void encode_elements(const float* x, std::int64_t n, const Grid& grid, const Encoding& encoding,
                     Key key, std::int64_t first, Simd simd, Code* out);

/// What is stored as a number of float32.
template <class Code>
float decode_element(Code stored, const Grid& grid, Format format) {
  return traits_of(format).arithmetic(format) == Arithmetic::linear
             ? decode(stored + grid.centre(), grid)
             : decode(format, static_cast<std::make_unsigned_t<Code>>(stored), grid.scale);
}

/// x as a number of the format: what a parameter or an optimizer state kept in it becomes. Element
/// i of a tensor draws rounding_word(key, i). Infinities become the largest number where a format
/// has none.
/// @throws NonFiniteError for a NaN; ConfigError for integer formats, whose codes mean nothing
/// without a grid
float round_to(Format format, float x, Rounding rounding, Key key, std::uint64_t i);

}  // namespace ebb
