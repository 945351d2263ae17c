#pragma once

#include <cstdint>
#include <string>

#include "core/tensor.h"
#include "quant/operand.h"
#include "quant/plan.h"

namespace ebb {

/// How well one operand survived its encoding.
struct OperandQuality {
  std::string site;
  Role role = Role::weight;
  Format format;
  std::int64_t elements = 0;
  double at_ends = 0;  ///< share of codes at the lowest or highest code
  double zeros =
      0;  ///< share of codes that stand for the real number nearest to zero that the grid has
  double underflow = 0;  ///< share of elements that are not zero and have such a code
  double sqnr_db =
      0;  ///< 10 log10 (sum x^2 / sum (x - decoded)^2), in double; +inf when nothing was lost
  Granularity grid = Granularity::per_tensor;  ///< one grid, or one for each row or column
};

/// The errors of a whole encoded matrix, which must not be a view of one. Sums run over pieces of
/// 4096 elements, row by row, then over the pieces' tree.
OperandQuality measure_quality(const ConstMatrix& x, const Operand& operand, const Site& site,
                               Role role);

}  // namespace ebb
