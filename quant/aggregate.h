#pragma once

#include <cstdint>
#include <span>

#include "core/csr.h"
#include "core/tensor.h"
#include "quant/gemm.h"

namespace ebb {

/// Sums over neighbours: c [m, n] with c(i, j) = scale[i] times the sum of x(k, j) over the columns
/// k that row i of a [m, k] lists, x [k, n]. This is the product of a matrix of ones and zeros, one
/// bit wide, with an encoded one; beside gemm and depthwise the only multiplication.
///
/// Integer x (one grid over the whole matrix): the sum of the codes is exact, or a narrow
/// accumulator's; then one affine scaling in double, rounded once. Float32 x: one chain of float32
/// additions in the order of the row, started at +0, then one multiplication; x of any other format
/// is decoded to float32 first. A row that lists nothing is 0. docs/NUMERICS.md gives the formulas.
///
/// Charges `ledger` with n MACs for every entry of `a`, at 1 bit times the width of x; if that is
/// all that is asked for (`how.count_only`), the result is a shape without memory. `how.product` is
/// aggregate or aggregate_grad; `how.kernel` is empty or "reference".
/// @throws ShapeError unless the shapes fit, x has one grid and scale is empty (all 1) or has m
/// elements; ConfigError for an accumulator that x cannot be summed in
Tensor aggregate(const Csr& a, std::span<const float> scale, const Operand& x, const Multiply& how,
                 CostLedger& ledger);

}  // namespace ebb
