#include <memory>

#include "core/error.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "quant/formats/block.h"
#include "quant/operand.h"

// Operands in block formats.
namespace ebb {

double Operand::scale(std::int64_t i, std::int64_t j) const {
  if (has_blocks(format()))
    return static_cast<double>(blocks_.at(i, j)) * static_cast<double>(blocks_.tensor);
  return static_cast<double>(grid(granularity_ == Granularity::per_column ? j : i).scale);
}

void Operand::encode_in_blocks(const ConstMatrix& x, Key key, Simd simd) {
  require<ConfigError>(granularity_ != Granularity::per_tensor,
                       "[operand] blocks lie along the contracted axis: encode a matrix in ",
                       format(), " by rows or by columns");
  const BlockExtents extents =
      BlockExtents::along(format(), granularity_ == Granularity::per_row ? 1 : 0);
  const std::int64_t down = (x.rows + extents.rows - 1) / extents.rows,
                     across = (x.cols + extents.cols - 1) / extents.cols;
  const auto count = static_cast<std::size_t>(down * across);
  const auto scales = std::make_shared<Aligned<float>>(allocate(
      uint128{count} * sizeof(float), [&] { return Aligned<float>(count); }, "the scales of ",
      count, " blocks"));
  blocks_ = {.scales = scales, .extents = extents, .row_stride = across};
  const auto all = make_room(x.rows, x.cols);
  blocks_.tensor =
      codes_.container == Container::int8
          ? encode_blocks(x, encoding_, extents, key, simd, scales->data(), all->int8.data())
          : encode_blocks(x, encoding_, extents, key, simd, scales->data(), all->int16.data());
  storage_ = std::make_shared<Storage>(Storage{all, x.cols, granularity_, {Grid{}}});
}

Operand Operand::decoded_blocks() const {
  const auto values = std::make_shared<Codes>();
  const auto count = static_cast<std::size_t>(rows() * cols());
  values->float32 = allocate(
      uint128{count} * sizeof(float), [&] { return Aligned<float>(count); },
      "the float32 values of ", count, " codes");
  const BlockElement element(format());
  parallel_rows(rows(), cols(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t j = 0; j < cols(); ++j)
        values->float32[static_cast<std::size_t>(i * cols() + j)] =
            static_cast<float>(element.number(codes_.code_at(codes_.offset(i, j))) * scale(i, j));
    }
  });
  Operand result = view();
  result.granularity_ = Granularity::per_tensor;
  result.codes_.container = CodeMatrix::Container::float32;
  result.codes_.data = values->float32.data();
  result.codes_.row_stride = cols();
  result.codes_.col_stride = 1;
  result.storage_ =
      std::make_shared<Storage>(Storage{values, cols(), Granularity::per_tensor, storage_->grids});
  result.alternatives_ = alternatives_;
  return result;
}

}  // namespace ebb
