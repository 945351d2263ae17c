#pragma once

#include "layers/pass.h"

namespace ebb {

/// The product of two activations at a site: a [..., m, k] times b [..., k, n] of the same leading
/// axes, or b [k, n] for all of them; the result is [..., m, n].
///
/// | forward      y  = a b       a one grid, b one grid
/// | grad_left    ga = g b^T     g one grid, encoded once for both products, on the codes of b that
/// |                             the forward product used
/// | grad_right   gb = a^T g     likewise on those of a; summed over the leading axes that b lacks,
/// |                             in the product
///
/// Both operands are encoded as activations over their own ranges, in evaluation too, and tell
/// their draws apart by the step: 0 for a, 1 for b.
/// @throws ShapeError unless the shapes fit
Var matmul(Pass& pass, const Site& site, Var a, Var b);

}  // namespace ebb
