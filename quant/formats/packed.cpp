#include "quant/formats/packed.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/memory.h"
#include "quant/formats/block.h"
#include "quant/formats/codec.h"
#include "quant/formats/grid.h"

namespace ebb {
namespace {

std::uint32_t mask_of(Format format) { return format.width < 32 ? (1u << format.width) - 1 : ~0u; }

/// All codes of a matrix, row by row, as bits.
std::string to_bits(const std::vector<std::uint32_t>& codes, const PackedMatrix& packed) {
  std::string bytes;
  bytes.reserve(static_cast<std::size_t>(packed.rows * packed_bytes(packed.format, packed.cols)));
  for (auto code = codes.begin(); code != codes.end();) {
    std::uint64_t held = 0;
    int count = 0;
    for (const auto end = code + packed.cols; code != end; ++code) {
      held |= static_cast<std::uint64_t>(*code) << count;
      for (count += packed.format.width; count >= 8; count -= 8, held >>= 8)
        bytes += static_cast<char>(held & 255);
    }
    if (count > 0) bytes += static_cast<char>(held & 255);
  }
  return bytes;
}

/// And back.
std::vector<std::uint32_t> codes_of(const PackedMatrix& packed) {
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(packed.rows * packed.cols));
  auto byte = packed.codes.begin();
  for (auto code = codes.begin(); code != codes.end();) {
    std::uint64_t held = 0;
    int count = 0;
    for (const auto end = code + packed.cols; code != end; ++code) {
      for (; count < packed.format.width; count += 8)
        held |= static_cast<std::uint64_t>(static_cast<unsigned char>(*byte++)) << count;
      *code = static_cast<std::uint32_t>(held) & mask_of(packed.format);
      held >>= packed.format.width;
      count -= packed.format.width;
    }
  }
  return codes;
}

/// One row of a format without blocks.
struct Line {
  Format format;
  Grid grid;  ///< of a format with a codec its scale alone

  [[nodiscard]] std::uint32_t encode(float x) const {
    if (has_codec(format))
      return ebb::encode(format, x, grid.scale, Rounding::nearest_even, Key(0), 0);
    return static_cast<std::uint32_t>(ebb::encode(x, grid)) & mask_of(format);
  }
  [[nodiscard]] float decode(std::uint32_t code) const {
    if (has_codec(format)) return ebb::decode(format, code, grid.scale);
    const auto high = static_cast<std::uint32_t>(grid.high());
    const int number = static_cast<int>(code) -
                       (grid.style == GridStyle::symmetric && code > high ? 1 << grid.bits : 0);
    return ebb::decode(number, grid);
  }
};

void pack_rows(const ConstMatrix& x, PackedMatrix& packed, std::vector<std::uint32_t>& codes) {
  const Format format = packed.format;
  const bool on_grid = !has_codec(format), scaled = format.scaling.kind != Scaling::Kind::none;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const Range range =
        measure_range({x.data + i * x.row_stride, 1, x.cols, x.row_stride, x.col_stride});
    const Line line{format, on_grid ? Grid::fit(range, format.width, packed.grid)
                                    : Grid{.scale = fit_scale(format, range)}};
    if (on_grid || scaled) packed.scales.push_back(line.grid.scale);
    if (on_grid && packed.grid == GridStyle::affine) packed.offsets.push_back(line.grid.offset);
    for (std::int64_t j = 0; j < x.cols; ++j)
      codes[static_cast<std::size_t>(i * x.cols + j)] = line.encode(x(i, j));
  }
}

void unpack_rows(const PackedMatrix& packed, const std::vector<std::uint32_t>& codes,
                 std::vector<float>& values) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(packed.rows); ++i) {
    const Line line{packed.format,
                    {.bits = packed.format.width,
                     .scale = packed.scales.empty() ? 1.0f : packed.scales[i],
                     .offset = packed.offsets.empty() ? 0.0f : packed.offsets[i],
                     .style = packed.grid}};
    for (std::int64_t j = 0; j < packed.cols; ++j) {
      const std::size_t at =
          i * static_cast<std::size_t>(packed.cols) + static_cast<std::size_t>(j);
      values[at] = line.decode(codes[at]);
    }
  }
}

/// The elements of a block, row by row.
struct Block {
  std::int64_t row, col, rows, cols;

  Block(const PackedMatrix& packed, std::int64_t down, std::int64_t across) {
    const BlockExtents extents = BlockExtents::along(packed.format, 1);
    row = down * extents.rows;
    col = across * extents.cols;
    rows = std::min(extents.rows, packed.rows - row);
    cols = std::min(extents.cols, packed.cols - col);
  }
  /// Calls each(row, column, place in the block).
  template <class Each>
  void visit(const Each& each) const {
    std::size_t n = 0;
    for (std::int64_t i = row; i < row + rows; ++i) {
      for (std::int64_t j = col; j < col + cols; ++j) each(i, j, n++);
    }
  }
};

void pack_blocks(const ConstMatrix& x, PackedMatrix& packed, std::vector<std::uint32_t>& codes) {
  const Format format = packed.format;
  const BlockElement element(format);
  const Range all = measure_range(x);
  const TensorScale tensor =
      TensorScale::fit(format, std::max(std::abs(all.min), std::abs(all.max)));
  packed.tensor_scale = tensor.decode;
  const BlockCounts count = count_blocks(format, x.rows, x.cols);
  for (std::int64_t b = 0; b < count.rows * count.cols; ++b) {
    const Block block(packed, b / count.cols, b % count.cols);
    std::vector<float> values;
    float largest = 0.0f;
    block.visit([&](std::int64_t i, std::int64_t j, std::size_t) {
      values.push_back(x(i, j));
      largest = std::max(largest, std::abs(x(i, j)));
    });
    packed.scales.push_back(BlockScale::fit(format, element, largest, tensor).stored);
    const EncodedBlock encoded =
        encode_block(format, values, tensor, Rounding::nearest_even, Key(0), 0);
    block.visit([&](std::int64_t i, std::int64_t j, std::size_t n) {
      codes[static_cast<std::size_t>(i * x.cols + j)] = encoded.codes[n];
    });
  }
}

void unpack_blocks(const PackedMatrix& packed, const std::vector<std::uint32_t>& codes,
                   std::vector<float>& values) {
  const BlockElement element(packed.format);
  const BlockCounts count = count_blocks(packed.format, packed.rows, packed.cols);
  for (std::int64_t b = 0; b < count.rows * count.cols; ++b) {
    const double scale = static_cast<double>(packed.scales[static_cast<std::size_t>(b)]) *
                         static_cast<double>(packed.tensor_scale);
    Block(packed, b / count.cols, b % count.cols)
        .visit([&](std::int64_t i, std::int64_t j, std::size_t) {
          const auto at = static_cast<std::size_t>(i * packed.cols + j);
          values[at] = static_cast<float>(element.number_of(codes[at]) * scale);
        });
  }
}

}  // namespace

std::int64_t packed_bytes(Format format, std::int64_t cols) {
  return (cols * format.width + 7) / 8;
}

BlockCounts count_blocks(Format format, std::int64_t rows, std::int64_t cols) {
  if (!has_blocks(format)) return {};
  const BlockExtents extents = BlockExtents::along(format, 1);
  return {(rows + extents.rows - 1) / extents.rows, (cols + extents.cols - 1) / extents.cols};
}

PackedMatrix pack(const ConstMatrix& x, Format format, GridStyle grid) {
  require_operand(format);
  require<ConfigError>(!format.is_fp32(),
                       "[pack] fp32 has no codes: such numbers stay as they are");
  require<NonFiniteError>(measure_range(x).finite(),
                          "[pack] a NaN or an infinity has no place among weights");
  PackedMatrix packed{.format = format, .grid = grid, .rows = x.rows, .cols = x.cols};
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(x.rows * x.cols));
  has_blocks(format) ? pack_blocks(x, packed, codes) : pack_rows(x, packed, codes);
  packed.codes = to_bits(codes, packed);
  return packed;
}

std::vector<float> unpack(const PackedMatrix& packed) {
  const auto size = static_cast<std::size_t>(packed.rows * packed.cols);
  std::vector<float> values = allocate(
      uint128{size} * sizeof(float), [&] { return std::vector<float>(size); }, "unpacked weights");
  const std::vector<std::uint32_t> codes = allocate(
      uint128{size} * sizeof(float), [&] { return codes_of(packed); }, "unpacked codes");
  has_blocks(packed.format) ? unpack_blocks(packed, codes, values)
                            : unpack_rows(packed, codes, values);
  return values;
}

}  // namespace ebb
