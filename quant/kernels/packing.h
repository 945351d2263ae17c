#pragma once

#include <cstdint>

#include "core/aligned.h"
#include "quant/codes.h"
#include "quant/kernels/tile.h"

/// From operands to what tiles read.
namespace ebb::kernels {

/// Codes too wide for exact sums in int32 are multiplied in two parts: c = 256 high + low with low in -128 .. 127.
enum class Part : std::uint8_t { whole, high, low };

/// Bytes that kernels may read past their codes.
inline constexpr std::int64_t kPackSlack = 64;

/// What packing one operand needs from call to call.
struct PackBuffers {
  Aligned<std::int8_t> gathered, converted;
  Aligned<std::uint8_t> packed;
};

/// Rows row .. row + rows and k .. k + depth of a [m, k]: in place where they can be read there, else in `buffers`. A gathered `a`
/// is taken whole: all of k, or all rows of a transposed one. `copy` packs rows also where they could be read in place.
TileLeft pack_left(const CodeMatrix& a, std::int64_t row, std::int64_t rows, std::int64_t k, std::int64_t depth,
                   const TileMicro& micro, bool copy, PackBuffers& buffers);

/// Codes as int16 with any strides: code (i, k) at data[i * row + k * this->k].
struct CodeLines {
  const std::int16_t* data;
  std::int64_t row, k;
};
/// The same rows for kernels that take codes one by one.
CodeLines left_codes(const CodeMatrix& a, std::int64_t row, std::int64_t rows, std::int64_t k, std::int64_t depth,
                     PackBuffers& buffers);

/// Columns col .. col + cols (a multiple of 16, or up to the last) and rows k .. k + depth of a dense b [k, n] as panels that lie
/// `panel` bytes apart.
void pack_right(const CodeMatrix& b, std::int64_t col, std::int64_t cols, std::int64_t k, std::int64_t depth, Part part,
                const TileMicro& micro, PackBuffers& buffers, std::uint8_t* out, std::int64_t panel);

/// Adds the sums of the codes of each column of packed panels; of code + 128 where b is biased. sums: [16 * panels].
void add_column_sums(const TileMicro& micro, const TileRight& right, std::int64_t panels, std::int64_t* sums);
/// Adds the sums of `depth` codes of each row.
void add_row_sums(const TileMicro& micro, const TileLeft& left, std::int64_t rows, std::int64_t depth, std::int64_t* sums);

}  // namespace ebb::kernels
