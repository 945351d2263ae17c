#pragma once

#include "layers/pass.h"

namespace ebb {

/// GELU in its tanh approximation, torch's approximate="tanh": x s(2u), u = sqrt(2/pi) (x +
/// 0.044715 x^3), s the logistic function; 0.5 x (1 + tanh u) is the same. Source: Hendrycks &
/// Gimpel, "Gaussian error linear units", 2016.
Var gelu(Pass& pass, Var x);

/// [..., 2n] to [..., n]: a s(a) b with a the first and b the second half of a row. Source:
/// Shazeer, "GLU variants improve Transformer", 2020. @throws ShapeError for an odd last axis
Var swiglu(Pass& pass, Var x);

}  // namespace ebb
