#pragma once

#include <cstdint>
#include <vector>

#include "core/aligned.h"
#include "quant/codes.h"
#include "quant/kernels/dense/tile.h"
#include "quant/kernels/problem.h"

/// From operands to what tiles read.
namespace ebb::kernels {

/// Codes too wide for exact sums in int32 are multiplied in two parts: c = 256 high + low with low
/// in -128 .. 127.
enum class Part : std::uint8_t { whole, high, low };

/// The longest k-run whose int32 accumulation cannot overflow, and the split of b into high and low
/// bytes if that run is shorter than `few` groups.
struct KSplit {
  std::int64_t groups;  ///< of one run at the most
  std::vector<Part> parts{Part::whole};

  KSplit(const Problem& problem, const TileMicrokernel& micro, std::int64_t few = 16);
  /// Groups per run when `all` are cut into runs of about the same length, `times` groups being
  /// summed at once.
  [[nodiscard]] std::int64_t run(std::int64_t all, std::int64_t times = 1) const {
    const std::int64_t most = groups / times, runs = (all + most - 1) / most;
    return (all + runs - 1) / runs;
  }
  static int shift(Part part) { return part == Part::high ? 8 : 0; }
};

/// Bytes that kernels may read past their codes.
inline constexpr std::int64_t kPackSlack = 64;
/// Bytes of a block of rows of a, so that it stays in the first two cache levels.
inline constexpr std::int64_t kBlockBytes = 48 << 10;

inline std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// What packing one operand needs from call to call.
struct PackBuffers {
  Aligned<std::int8_t> gathered, converted;
  Aligned<std::uint8_t> packed;
};

/// Codes of a matrix whose rows follow unit strides, in the width that tiles take.
struct Lines {
  const std::int8_t* data;
  std::int64_t stride;  ///< bytes
};
/// `length` codes from `from` on of rows first .. first + count: in place where they can be read
/// there, else in `buffers`. Patch matrices are gathered whole rows at a time.
Lines lines_of(const CodeMatrix& x, std::int64_t first, std::int64_t count, std::int64_t from,
               std::int64_t length, Part part, int code_bytes, PackBuffers& buffers);

/// Copies the channels of `pixels` neighbouring pixels of a patch matrix's image, the first being
/// pixel `at`, as codes of `code_bytes`, each pixel to to + i * to_stride bytes.
void copy_pixels(const CodeMatrix& x, std::int64_t at, std::int64_t pixels, int code_bytes,
                 std::int8_t* to, std::int64_t to_stride);

/// Rows row .. row + rows and k .. k + depth of a [m, k]: in place where they can be read there,
/// else in `buffers`. A gathered `a` is taken whole: all of k, or all rows of a transposed one.
/// `copy` packs rows also where they could be read in place.
TileLeft pack_left(const CodeMatrix& a, std::int64_t row, std::int64_t rows, std::int64_t k,
                   std::int64_t depth, const TileMicrokernel& micro, bool copy,
                   PackBuffers& buffers);

/// Codes as int16 with any strides: code (i, k) at data[i * row + k * this->k].
struct CodeLines {
  const std::int16_t* data;
  std::int64_t row, k;
};
/// The same rows for kernels that take codes one by one.
CodeLines left_codes(const CodeMatrix& a, std::int64_t row, std::int64_t rows, std::int64_t k,
                     std::int64_t depth, PackBuffers& buffers);

/// Columns col .. col + cols (a multiple of 16, or up to the last) and rows k .. k + depth of a
/// dense b [k, n] as panels that lie `panel` bytes apart.
void pack_right(const CodeMatrix& b, std::int64_t col, std::int64_t cols, std::int64_t k,
                std::int64_t depth, Part part, const TileMicrokernel& micro, PackBuffers& buffers,
                std::uint8_t* out, std::int64_t panel);

/// Adds the sums of the codes of each column of packed panels; of code + 128 where b is biased.
/// sums: [16 * panels].
void add_column_sums(const TileMicrokernel& micro, const TileRight& right, std::int64_t panels,
                     std::int64_t* sums);
/// Adds the sums of `depth` codes of each row.
void add_row_sums(const TileMicrokernel& micro, const TileLeft& left, std::int64_t rows,
                  std::int64_t depth, std::int64_t* sums);

}  // namespace ebb::kernels
