#include <algorithm>
#include <cassert>
#include <span>
#include <type_traits>
#include <utility>

#include "core/memory.h"
#include "core/parallel.h"
#include "quant/formats/codec.h"
#include "quant/operand.h"

// Operands whose codes become float32 values.
namespace ebb {
namespace {

/// Lines of codes to be decoded: line l has those at first + l * stride + j * step, and its values
/// begin at l * out_stride.
struct DecodedLines {
  std::int64_t first = 0, lines = 0, width = 0, stride = 0, step = 1, out_stride = 0;
};

/// Decodes stored codes of a matrix with `cols` columns to the float32 values of fake quantization.
template <class Code>
Aligned<float> decode_lines(const Code* codes, const DecodedLines& at, std::int64_t cols,
                            const std::vector<Grid>& grids, Granularity granularity,
                            Format format) {
  const bool none = at.lines == 0 || at.width == 0;
  const auto count =
      none ? std::size_t{0} : static_cast<std::size_t>((at.lines - 1) * at.out_stride + at.width);
  auto values = allocate(
      uint128{count} * sizeof(float), [&] { return Aligned<float>(count); },
      "the float32 values of ", count, " codes");
  if (none) return values;
  std::span<const float> numbers;  // of all codes, where these are bit patterns
  if (traits_of(format).arithmetic(format) == Arithmetic::decoded) numbers = all_numbers(format);
  parallel_rows(at.lines, at.width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t line = begin; line < end; ++line) {
      for (std::int64_t j = 0; j < at.width; ++j) {
        const std::int64_t element = at.first + line * at.stride + j * at.step;
        const std::int64_t of = granularity == Granularity::per_tensor ? 0
                                : granularity == Granularity::per_row  ? element / cols
                                                                       : element % cols;
        const Grid& grid = grids[static_cast<std::size_t>(of)];
        const auto pattern = static_cast<std::make_unsigned_t<Code>>(codes[element]);
        values[static_cast<std::size_t>(line * at.out_stride + j)] =
            numbers.empty() ? decode_element(codes[element], grid, format)
                            : grid.scale * numbers[pattern];
      }
    }
  });
  return values;
}

}  // namespace

bool Operand::is_encoded() const {
  return numbers_ ||
         (!format().is_fp32() && codes_.container == traits_of(format()).container(format()));
}

Operand Operand::decoded() const {
  assert(!numbers_);
  if (!is_float() && has_blocks(format())) return decoded_blocks();
  return is_float() ? *this : decoded_on(storage_->grids, storage_->granularity);
}

Operand Operand::numbers() const {
  if (numbers_) return *this;
  const float unit = stored_unit(format());
  Operand result = *this;
  if (!is_float())
    result =
        decoded_on({Grid{.scale = unit, .style = GridStyle::symmetric}}, Granularity::per_tensor);
  std::vector<Grid> grids = storage_->grids;
  for (Grid& grid : grids) grid.scale /= unit;
  result.storage_ = std::make_shared<Storage>(
      Storage{result.storage_->codes, storage_->cols, storage_->granularity, std::move(grids)});
  result.numbers_ = true;
  return result;
}

Operand Operand::decoded_on(const std::vector<Grid>& grids, Granularity granularity) const {
  Operand result = view();
  CodeMatrix& to = result.codes_;
  DecodedLines lines{};
  if (to.patches) {  // values lie as the codes of the image do
    const PatchGeometry& g = *to.patches;
    lines = {.lines = g.images * g.height * g.width,
             .width = g.channels,
             .stride = g.pixel_stride,
             .step = 1,
             .out_stride = g.pixel_stride};
  } else {  // of this part of the matrix alone
    const bool by_rows = to.row_stride >= to.col_stride;
    lines = {.lines = by_rows ? to.rows : to.cols,
             .width = by_rows ? to.cols : to.rows,
             .stride = std::max(to.row_stride, to.col_stride),
             .step = std::min(to.row_stride, to.col_stride)};
    lines.out_stride = lines.width;
    to.row_stride = by_rows ? lines.width : 1;
    to.col_stride = by_rows ? 1 : lines.width;
  }
  const Storage& source = *storage_;
  const auto values = std::make_shared<Codes>();
  const auto decode_all = [&](const auto& codes) {
    using Code = typename std::remove_cvref_t<decltype(codes)>::value_type;
    lines.first = static_cast<const Code*>(codes_.data) - codes.data();
    values->float32 = decode_lines(codes.data(), lines, source.cols, grids, granularity, format());
  };
  if (codes_.container == CodeMatrix::Container::int8) {
    decode_all(source.codes->int8);
  } else {
    decode_all(source.codes->int16);
  }
  to.container = CodeMatrix::Container::float32;
  to.data = values->float32.data();
  result.storage_ =
      std::make_shared<Storage>(Storage{values, source.cols, source.granularity, source.grids});
  result.alternatives_ = alternatives_;
  return result;
}

}  // namespace ebb
