#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/key.h"
#include "core/simd.h"
#include "core/tensor.h"
#include "quant/formats/encoding.h"
#include "quant/formats/format.h"

// Block formats, whose elements share a scale with their neighbours along what is contracted: MX,
// NVFP4, block floating point, or any element with scales of any kind. docs/NUMERICS.md defines
// each step; nothing here is approximate.

namespace ebb {

constexpr bool has_blocks(const Format& format) { return format.scaling.block > 0; }
/// @throws ConfigError for scales or elements that no block can have
void require_blocks(Format format);

/// Bits of the scale of one block, without what the whole tensor shares.
int scale_width(Format format);

/// The exponent of a scale that is a power of two, by the rule, before it is held to what scales
/// can be: for numbers of which the largest magnitude is `largest`, of a format whose largest
/// number is max and has `fraction` bits of fraction. Both are positive and normal in float64.
int scale_exponent(Scaling::Rule rule, double largest, double max, int fraction);

/// What an element is without its scale.
struct BlockElement {
  Format format;           ///< without scales; what is beyond its largest number saturates
  double max = 0;          ///< the largest number
  double unit = 1;         ///< the number of the stored code 1, of linear elements
  double step = 1;         ///< a number that all are multiples of
  int fraction = 0;        ///< bits of fraction of the largest number
  bool linear = false;     ///< stored as number / unit, else as a bit pattern
  bool has_codec = false;  ///< false for integers
  /// @throws ConfigError as require_blocks
  explicit BlockElement(Format format);
  /// The number of a stored code.
  [[nodiscard]] double number(std::int32_t stored) const;
  /// That of a bit pattern, which may be -0.
  [[nodiscard]] double number_of(std::uint32_t code) const;
};

/// What all scales of a matrix are multiplied by: of ue4m3 scales a float32, else 1.
struct TensorScale {
  float encode = 1.0f, decode = 1.0f;  ///< nearly the inverse of each other
  /// For numbers of which the largest magnitude is `largest`.
  static TensorScale fit(Format format, float largest);
};

/// The scale of a block.
struct BlockScale {
  /// An element with the number p stands for p * stored * TensorScale::decode.
  float stored = 1.0f;
  /// What x is multiplied by to be encoded; not used by absmax scales, which divide.
  float inverse = 1.0f;
  /// For elements of which the largest magnitude, a finite number, is `largest`.
  static BlockScale fit(Format format, const BlockElement& element, float largest,
                        const TensorScale& tensor);
};

/// What is stored of x; stochastic rounding draws `random`.
std::int32_t encode_in_block(const BlockElement& element, Format format, float x,
                             const BlockScale& scale, Rounding rounding, std::uint32_t random);

/// A block as people look at it.
struct EncodedBlock {
  float scale =
      0;  ///< of all elements, TensorScale included; NaN if an element is no finite number
  std::vector<std::uint32_t> codes;  ///< bit patterns
  std::vector<float> values;
};
/// One block of any length, the first element of which draws as element `first`.
EncodedBlock encode_block(Format format, std::span<const float> x, const TensorScale& tensor,
                          Rounding rounding, Key key, std::uint64_t first);

/// Elements that share a scale.
struct BlockExtents {
  std::int64_t rows = 1, cols = 1;
  /// Blocks of a matrix that is contracted down its rows (0) or along them (1).
  static BlockExtents along(Format format, int axis);
};

/// Encodes a matrix. `scales` is a matrix, too, by rows of blocks. Element (i, j) draws
/// rounding_word(key, i * x.cols + j). `Code` is the element's container. @returns what all scales
/// are multiplied by. @throws NonFiniteError for a NaN or an infinity
template <class Code>
float encode_blocks(const ConstMatrix& x, const Encoding& encoding, const BlockExtents& extents,
                    Key key, Simd simd, float* scales, Code* out);

}  // namespace ebb
