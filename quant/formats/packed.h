#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "quant/formats/encoding.h"
#include "quant/formats/format.h"

// Matrices as files hold them: codes without gaps, and the scales beside them. docs/FORMATS.md has
// the layout.

namespace ebb {

/// A matrix whose rows each have a scale or grid of their own, or blocks along them.
struct PackedMatrix {
  Format format{};
  GridStyle grid = GridStyle::affine;  ///< of integer formats
  std::int64_t rows = 0, cols = 0;
  /// Row by row, each beginning with a byte. Code j of a row is its bits j * width and on, and bit
  /// b of a row is bit b % 8 of byte b / 8. Codes are bit patterns, of integers those of symmetric
  /// grids in two's complement.
  std::string codes{};
  /// One a row; of block formats one a block, row by row of blocks. Empty: all are 1.
  std::vector<float> scales{};
  std::vector<float> offsets{};  ///< of affine grids one a row
  float tensor_scale = 1.0f;     ///< what all scales are multiplied by, of ue4m3 ones
};

/// Bytes of a row of so many codes.
std::int64_t packed_bytes(Format format, std::int64_t cols);
/// Rows and columns of blocks in a matrix; none if the format has none.
struct BlockCounts {
  std::int64_t rows = 0, cols = 0;
};
BlockCounts count_blocks(Format format, std::int64_t rows, std::int64_t cols);

/// Encodes a matrix as a weight that is contracted along its rows, to nearest, ties to even.
/// @throws NonFiniteError for a NaN or an infinity; ConfigError for a symmetric grid of 1 bit, or a
/// format that is no operand or has no codes
PackedMatrix pack(const ConstMatrix& x, Format format, GridStyle grid);
/// The numbers that the codes stand for, row by row: what `ebb quantize` prints as values. The
/// members must fit each other.
std::vector<float> unpack(const PackedMatrix& packed);

}  // namespace ebb
