#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/key.h"
#include "core/simd.h"
#include "core/tensor.h"
#include "quant/codes.h"
#include "quant/formats/block.h"
#include "quant/formats/encoding.h"
#include "quant/formats/grid.h"
#include "quant/patches.h"

namespace ebb {
namespace kernels {
class PackedCache;
}

/// Which elements share one scale. Of block formats: along which axis blocks follow each other, for
/// a product that contracts it: per_row has blocks along rows.
enum class Granularity : std::uint8_t { per_tensor, per_row, per_column };

/// The scales of a block format's operand, or of a view of it.
struct BlockScales {
  std::shared_ptr<const Aligned<float>> scales;  ///< of the whole encoded matrix
  BlockExtents extents;                          ///< of a block of the view
  std::int64_t first_row = 0, first_col = 0;     ///< of the view in the encoded matrix
  std::int64_t row_stride = 0, col_stride = 1;   ///< of `scales`, from a block to the next
  float tensor = 1.0f;                           ///< what all of them are multiplied by

  /// The scale of element (i, j) of the view, without `tensor`.
  [[nodiscard]] float at(std::int64_t i, std::int64_t j) const {
    const std::int64_t row = (first_row + i) / extents.rows, col = (first_col + j) / extents.cols;
    return (*scales)[static_cast<std::size_t>(row * row_stride + col * col_stride)];
  }
  [[nodiscard]] BlockScales transposed() const {
    return {scales, {extents.cols, extents.rows}, first_col, first_row, col_stride, row_stride,
            tensor};
  }
};

/// One side of a matrix product, encoded at a stated precision; the only thing that `gemm` takes.
/// Rounding happens once, in the constructor; transposed, sliced and gathered views share the
/// codes.
///
/// An element of an integer operand stands for the real number scale * code + offset of its grid;
/// an element in another encoded format stands for scale * decode(code), where block formats have a
/// scale per block (block_scales()). A float32 operand refers to the matrix it was made from, which
/// must outlive it. A simulated operand holds the decoded float32 values of its codes and still
/// charges its format.
class Operand {
 public:
  /// A [rows, cols] matrix that is computed when it is read; write(first, last, out) may be called
  /// from any thread.
  struct Rows {
    std::int64_t rows = 0, cols = 0;
    const std::function<void(std::int64_t first, std::int64_t last, float* out)>& write;
  };
  /// A rectangular part of a contiguous matrix: the index of its first element, its extents, and
  /// the distance between the starts of two of its consecutive rows, both in elements.
  struct Part {
    std::int64_t first, rows, cols, stride;
  };
  struct Options {
    Simd simd = Simd::scalar;
    bool simulate = false;
    const Range* range =
        nullptr;  ///< use this range instead of measuring the matrix's own; whole-matrix grids only
    bool own_range =
        false;  ///< the given range is the matrix's own: spares a pass that would look for NaNs
    /// If not empty, only these parts of a contiguous matrix are encoded. The rest counts as zeros;
    /// its codes are indeterminate and never read. A part does not cross the end of a row; with
    /// one grid per row, each row has exactly one part, which begins at its first column.
    std::span<const Part> parts = {};
  };

  /// Encodes x [rows, cols]. Element (i, j) draws rounding_bits(key, i * cols + j).
  /// @throws NonFiniteError if x has a NaN or an infinity and the format is not fp32; ConfigError
  /// for a symmetric grid of 1 bit, or a block format with one scale for the whole matrix
  Operand(const ConstMatrix& x, const Encoding& encoding, Granularity granularity, Key key,
          const Options& options);
  Operand(const ConstMatrix& x, const Encoding& encoding, Granularity granularity, Key key)
      : Operand(x, encoding, granularity, key, Options{}) {}

  /// Encodes rows as they are written, on one grid over the range that they are known to have.
  Operand(const Rows& x, const Encoding& encoding, const Range& range, Key key,
          const Options& options);

  [[nodiscard]] std::int64_t rows() const { return codes_.rows; }
  [[nodiscard]] std::int64_t cols() const { return codes_.cols; }
  [[nodiscard]] Format format() const { return encoding_.format; }
  [[nodiscard]] const Encoding& encoding() const { return encoding_; }
  /// True when elements are stored as float32: fp32, wider than 16 bits, decoded or simulated.
  [[nodiscard]] bool is_float() const { return codes_.container == CodeMatrix::Container::float32; }
  [[nodiscard]] Arithmetic arithmetic() const {
    return is_float()             ? Arithmetic::float32
           : has_blocks(format()) ? Arithmetic::blocks
                                  : traits_of(format()).arithmetic(format());
  }
  [[nodiscard]] const CodeMatrix& codes() const { return codes_; }
  /// The axis of this view along which grids vary.
  [[nodiscard]] Granularity granularity() const { return granularity_; }
  /// The grid of row or column i (any i for a whole-matrix grid), of which only the scale matters
  /// where the format has a codec. Not defined for fp32.
  [[nodiscard]] const Grid& grid(std::int64_t i = 0) const {
    return storage_->grids[granularity_ == Granularity::per_tensor
                               ? 0
                               : static_cast<std::size_t>(first_grid_ + i)];
  }
  /// Scales of the blocks; for block formats only.
  [[nodiscard]] const BlockScales& block_scales() const { return blocks_; }
  /// The scale of an element, in double. Not defined for fp32.
  [[nodiscard]] double scale(std::int64_t i, std::int64_t j) const;
  /// The real number that the element (i, j) stands for, in double; 0 for a padded tap.
  [[nodiscard]] double value(std::int64_t i, std::int64_t j) const;

  [[nodiscard]] Operand transposed() const;
  /// Columns first .. first + count of a dense operand.
  [[nodiscard]] Operand columns(std::int64_t first, std::int64_t count) const;
  /// Rows first .. first + count of a dense operand.
  [[nodiscard]] Operand rows(std::int64_t first, std::int64_t count) const;
  /// Elements first .. first + rows * cols of an operand of one row and one grid, as a [rows, cols]
  /// matrix.
  [[nodiscard]] Operand reshaped(std::int64_t first, std::int64_t rows, std::int64_t cols) const;
  /// The patch matrix of an operand laid over an image tensor as [images * height * width,
  /// channels], grid over the whole matrix.
  /// @throws ShapeError unless the geometry fits this matrix
  [[nodiscard]] Operand patches(const PatchGeometry& geometry) const;
  /// The same matrix for many products with it on the right: kernels keep what they make of it,
  /// such as packed codes, as long as this operand or a copy of it lives. Views of it keep nothing.
  [[nodiscard]] Operand kept() const;
  /// The same matrix, for an operand made of patches: products charge `rows` rows instead of its
  /// own.
  [[nodiscard]] Operand charged_for(std::int64_t rows) const;
  [[nodiscard]] kernels::PackedCache* packed_cache() const {
    return packed_cache_.get();
  }  ///< null unless kept
  /// The same matrix with its codes decoded to float32; float operands are returned as they are.
  [[nodiscard]] Operand decoded() const;
  /// The numbers that the codes of a format with a codec stand for, in float32, apart from their
  /// scales, which grid() has: products bring these in at the end.
  [[nodiscard]] Operand numbers() const;
  /// False where float32 values are multiplied as they are: of fp32 and of fake quantization.
  [[nodiscard]] bool is_encoded() const;
  /// The same codes of a linear format, each standing for itself: a product of such operands is the
  /// sums of products of stored codes, rounded to float32.
  [[nodiscard]] Operand as_codes() const;

  /// The same matrix in other formats, for an observer that asks what these would have done. A view
  /// of an operand has the same view of each alternative; products ignore them.
  [[nodiscard]] std::span<const Operand> alternatives() const {
    return alternatives_ ? std::span<const Operand>(*alternatives_) : std::span<const Operand>();
  }
  [[nodiscard]] Operand with_alternatives(std::vector<Operand> alternatives) const;

 private:
  /// The codes that all views share: row by row, without gaps.
  struct Codes {
    Aligned<std::int8_t> int8;
    Aligned<std::int16_t> int16;
    Aligned<float> float32;

    /// Calls then(the codes in their container).
    template <class Then>
    void visit(Container container, const Then& then) {
      switch (container) {
        case Container::int8: return then(int8);
        case Container::int16: return then(int16);
        case Container::float32: return then(float32);
      }
    }
  };
  /// The encoded matrix that they belong to.
  struct Storage {
    std::shared_ptr<const Codes> codes;
    std::int64_t cols = 0;
    Granularity granularity = Granularity::per_tensor;
    std::vector<Grid> grids;
  };
  /// The codes decoded on these grids instead of their own.
  [[nodiscard]] Operand decoded_on(const std::vector<Grid>& grids, Granularity granularity) const;
  /// Encodes x in a block format.
  void encode_in_blocks(const ConstMatrix& x, Key key, Simd simd);
  [[nodiscard]] Operand decoded_blocks() const;
  /// A copy that shares the codes, for view functions to change; and one that begins at another
  /// code.
  [[nodiscard]] Operand view() const;
  [[nodiscard]] Operand beginning_at(std::int64_t element) const;
  /// `result` with view(x) of this operand's alternatives x as its own.
  template <class View>
  [[nodiscard]] Operand with_views(Operand result, const View& view) const;
  /// Allocates the codes of a [rows, cols] matrix; `fill` also calls encode(codes) to write them.
  std::shared_ptr<Codes> make_room(std::int64_t rows, std::int64_t cols);
  template <class Encode>
  void fill(std::int64_t rows, std::int64_t cols, std::vector<Grid> grids, const Encode& encode);

  Encoding encoding_;
  Granularity granularity_;
  CodeMatrix codes_;
  std::shared_ptr<const Storage> storage_;
  std::int64_t first_grid_ = 0;
  bool numbers_ = false;  ///< float32 values that are numbers without their scales
  BlockScales blocks_;
  std::shared_ptr<kernels::PackedCache> packed_cache_;
  std::shared_ptr<const std::vector<Operand>> alternatives_;
};

}  // namespace ebb
