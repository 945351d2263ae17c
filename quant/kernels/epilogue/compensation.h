#pragma once

#include <cstdint>
#include <vector>

#include "quant/codes.h"

/// What a product's epilogue needs to know of zero points beside the sums of code products, see
/// affine.h.
namespace ebb::kernels {

/// Rows of a that miss the same k, being padding, share a class, and with it V and B.
struct RowClasses {
  std::vector<std::int32_t> of_row;       ///< empty: all rows are of class 0
  std::vector<std::int64_t> valid;        ///< V of each class
  std::vector<std::int64_t> column_sums;  ///< B, [classes, n]

  /// Dense rows of length k.
  static RowClasses one(std::int64_t k, std::vector<std::int64_t> column_sums);
  static RowClasses of(const CodeMatrix& a, const CodeMatrix& b);
};

/// A: the sums of the codes of each row, padding being zeros.
std::vector<std::int64_t> sum_rows(const CodeMatrix& a);

}  // namespace ebb::kernels
