#pragma once

#include <span>

#include "layers/pass.h"

namespace ebb {

/// Regularisers of certified training, for the bounds [2 n, ...] (layers/interval.h) that reach the
/// ReLUs of a network. Sums are in double, in order; what they hold is counted from 0 to
/// `tolerance` and averaged over the layers. Source: Shi et al., arXiv 2103.17268.

/// Bounds that are wider than the box: the mean over the layers of max(0, tolerance - w0 / w), w
/// being the mean width of a layer's bounds and w0 that of the box.
/// @throws ConfigError if there are no layers
Var tightness_loss(Pass& pass, Var box, std::span<const Var> before_relu, double tolerance);

/// ReLUs of which most are surely active or surely inactive. With c the centres of a layer's
/// bounds, alpha is the sum of c over the active (lower end above 0) divided by that of -c over the
/// inactive (upper end below 0), and beta the same of (c - mean c)^2: the mean over the layers of
/// max(0, tolerance - min(alpha, 1 / alpha)) + max(0, tolerance - min(beta, 1 / beta)). A layer
/// counts 0 while either kind is missing. @throws ConfigError if there are no layers
Var balance_loss(Pass& pass, std::span<const Var> before_relu, double tolerance);

}  // namespace ebb
