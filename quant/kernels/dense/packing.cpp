#include "quant/kernels/dense/packing.h"

#include <algorithm>
#include <cstring>

#include "core/fetch.h"
#include "quant/kernels/conv/gather.h"

namespace ebb::kernels {
namespace {

int container_bytes(const CodeMatrix& x) {
  return x.container == CodeMatrix::Container::int8 ? 1 : 2;
}

std::int16_t part_of(std::int16_t code, Part part) {
  const auto low = static_cast<std::int8_t>(code);
  return part == Part::low ? low : static_cast<std::int16_t>((code - low) >> 8);
}

template <class Code>
void convert(const Code* from, std::int64_t n, Part part, std::int16_t* to) {
  if (part == Part::whole) {
    std::copy_n(from, n, to);
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = part_of(from[i], part);
  }
}

bool rows_follow_k(const CodeMatrix& a) {
  return a.patches ? !a.patches_transposed : a.col_stride == 1;
}

}  // namespace

KSplit::KSplit(const Problem& p, const TileMicrokernel& micro, std::int64_t few) {
  const std::int64_t a = Problem::largest(p.a),
                     b = Problem::largest(p.b) + (micro.bias != 0 ? 127 : 0),
                     codes = 4 / micro.code_bytes;
  constexpr std::int64_t limit = (std::int64_t{1} << 31) - 1;
  groups = limit / (codes * a * b);
  if (groups >= few) return;
  groups = limit / (codes * a * 128);
  parts = {Part::high, Part::low};
}

Lines lines_of(const CodeMatrix& x, std::int64_t first, std::int64_t count, std::int64_t from,
               std::int64_t length, Part part, int code_bytes, PackBuffers& buffers) {
  const std::int64_t bytes = container_bytes(x);
  Lines lines{static_cast<const std::int8_t*>(x.data) + (first * x.row_stride + from) * bytes,
              x.row_stride * bytes};
  if (x.patches) {
    lines.stride = x.cols * bytes;
    buffers.gathered.resize(static_cast<std::size_t>(count * lines.stride + kPackSlack));
    if (bytes == 1) {
      gather_patch_rows(*x.patches, static_cast<const std::int8_t*>(x.data), first, count,
                        buffers.gathered.data(), x.cols);
    } else {
      gather_patch_rows(*x.patches, static_cast<const std::int16_t*>(x.data), first, count,
                        reinterpret_cast<std::int16_t*>(buffers.gathered.data()), x.cols);
    }
    std::memset(buffers.gathered.data() + count * lines.stride, 0, kPackSlack);
    lines.data = buffers.gathered.data() + from * bytes;
  }
  if (bytes == code_bytes && part == Part::whole) return lines;
  const std::int64_t width = (length + 15) / 16 * 16;
  buffers.converted.resize(static_cast<std::size_t>(count * width * 2 + kPackSlack));
  auto* const to = reinterpret_cast<std::int16_t*>(buffers.converted.data());
  const bool dense = length == width && lines.stride == width * bytes;  // all in one go
  for (std::int64_t i = 0; i < (dense ? 1 : count); ++i) {
    const std::int8_t* const line = lines.data + i * lines.stride;
    const std::int64_t codes = dense ? count * width : length;
    if (bytes == 1) {
      convert(line, codes, part, to + i * width);
    } else {
      convert(reinterpret_cast<const std::int16_t*>(line), codes, part, to + i * width);
    }
    // Kernels read whole groups and runs of 16. What fills them up meets zeros or is dropped, but
    // it is to be a number.
    if (!dense) std::fill(to + i * width + codes, to + (i + 1) * width, std::int16_t{0});
  }
  std::memset(to + count * width, 0, kPackSlack);
  return {buffers.converted.data(), width * 2};
}

void copy_pixels(const CodeMatrix& x, std::int64_t at, std::int64_t pixels, int code_bytes,
                 std::int8_t* to, std::int64_t to_stride) {
  const PatchGeometry& g = *x.patches;
  const std::int64_t bytes = container_bytes(x), pixel = g.channels * code_bytes,
                     stride = g.pixel_stride * bytes;
  const std::int8_t* const from = static_cast<const std::int8_t*>(x.data) + at * stride;
  const bool dense = g.channels == g.pixel_stride && to_stride == pixel;  // all in one go
  const std::int64_t runs = dense ? 1 : pixels, codes = dense ? pixels * g.channels : g.channels;
  for (std::int64_t i = 0; i < runs; ++i) {
    if (bytes == code_bytes) {
      fetch_ahead(from + i * stride, codes * bytes);
      std::memcpy(to + i * to_stride, from + i * stride, static_cast<std::size_t>(codes * bytes));
    } else {
      convert(from + i * stride, codes, Part::whole,
              reinterpret_cast<std::int16_t*>(to + i * to_stride));
    }
  }
}

TileLeft pack_left(const CodeMatrix& a, std::int64_t row, std::int64_t rows, std::int64_t k,
                   std::int64_t depth, const TileMicrokernel& micro, bool copy,
                   PackBuffers& buffers) {
  if (rows_follow_k(a)) {
    const Lines lines = lines_of(a, row, rows, k, depth, Part::whole, micro.code_bytes, buffers);
    if (!copy) return {lines.data, lines.stride, 4};
    const std::int64_t bytes = depth * micro.code_bytes,
                       stride = (bytes + 63) / 64 * 64 + 64;  // no two rows on one cache set
    buffers.packed.resize(static_cast<std::size_t>(rows * stride));
    for (std::int64_t i = 0; i < rows; ++i) {
      std::uint8_t* const to = buffers.packed.data() + i * stride;
      std::memcpy(to, lines.data + i * lines.stride, static_cast<std::size_t>(bytes));
      std::memset(to + bytes, 0, 4);  // fills up the last group
    }
    return {reinterpret_cast<const std::int8_t*>(buffers.packed.data()), stride, 4};
  }
  const Lines lines =
      lines_of(a.transposed(), k, depth, row, rows, Part::whole, micro.code_bytes, buffers);
  const std::int64_t codes = 4 / micro.code_bytes, groups = (depth + codes - 1) / codes,
                     group = (rows + 15) / 16 * 64;
  buffers.packed.resize(static_cast<std::size_t>(groups * group));
  micro.interleave(lines.data, lines.stride, depth, rows, 0, buffers.packed.data(), group, 64);
  return {reinterpret_cast<const std::int8_t*>(buffers.packed.data()), 4, group};
}

CodeLines left_codes(const CodeMatrix& a, std::int64_t row, std::int64_t rows, std::int64_t k,
                     std::int64_t depth, PackBuffers& buffers) {
  const bool follow = rows_follow_k(a);
  const Lines lines = follow
                          ? lines_of(a, row, rows, k, depth, Part::whole, 2, buffers)
                          : lines_of(a.transposed(), k, depth, row, rows, Part::whole, 2, buffers);
  const auto* const data = reinterpret_cast<const std::int16_t*>(lines.data);
  return follow ? CodeLines{data, lines.stride / 2, 1} : CodeLines{data, 1, lines.stride / 2};
}

void pack_right(const CodeMatrix& b, std::int64_t col, std::int64_t cols, std::int64_t k,
                std::int64_t depth, Part part, const TileMicrokernel& micro, PackBuffers& buffers,
                std::uint8_t* out, std::int64_t panel) {
  if (b.col_stride == 1) {
    const Lines lines = lines_of(b, k, depth, col, cols, part, micro.code_bytes, buffers);
    micro.interleave(lines.data, lines.stride, depth, cols, micro.bias, out, 64, panel);
    return;
  }
  const Lines lines =
      lines_of(b.transposed(), col, cols, k, depth, part, micro.code_bytes, buffers);
  for (std::int64_t j = 0; j < cols; j += 16, out += panel)
    micro.transpose(lines.data + j * lines.stride, lines.stride, depth, cols - j, micro.bias, out);
}

void add_column_sums(const TileMicrokernel& micro, const TileRight& right, std::int64_t panels,
                     std::int64_t* sums) {
  // Every column against a row of ones.
  const std::int8_t odd = micro.code_bytes == 1 ? 1 : 0;
  const std::int8_t bytes[4] = {1, odd, 1, odd};
  for (std::int64_t panel = 0; panel < panels; panel += kTilePanels) {
    const int count = static_cast<int>(std::min<std::int64_t>(kTilePanels, panels - panel));
    micro.accumulate({bytes, 0, 0}, {right.data + panel * right.panel, right.panel, right.groups},
                     1, count, 0, sums + 16 * panel, 0);
  }
}

void add_row_sums(const TileMicrokernel& micro, const TileLeft& left, std::int64_t rows,
                  std::int64_t depth, std::int64_t* sums) {
  constexpr std::int64_t most = 32768;  // codes of 16 bits that surely fit an int32
  std::int32_t part[64];
  for (std::int64_t i = 0; i < rows; i += 64) {
    const std::int64_t count = std::min<std::int64_t>(64, rows - i);
    for (std::int64_t k = 0; k < depth; k += most) {
      const std::int64_t group = k * micro.code_bytes / 4;
      micro.sum_rows({left.data + i * left.row + group * left.group, left.row, left.group}, count,
                     std::min(most, depth - k), part);
      for (std::int64_t r = 0; r < count; ++r) sums[i + r] += part[r];
    }
  }
}

}  // namespace ebb::kernels
