#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/sequence.h"

namespace ebb {

/// Interval bound propagation: what a network can make of all inputs in a box. Bounds of n examples
/// are one value [2 n, ...], the lower ends of all and then their upper ends: a layer that keeps
/// the order of numbers, such as ReLU or max pooling, is then applied to them as to any batch.
///
/// A layer with products takes the centre through its own weights and the radius through their
/// magnitudes, at the site "<name>.radius": both are products like any other, encoded and charged.
/// Batch norm applies to both ends what it does to `x`, in training with the statistics of x.
///
/// In a pass that evaluates, bounds hold for the numbers that the network computes, roundings and
/// encodings included (docs/NUMERICS.md, "Bounds"); nothing is differentiated then. In training
/// they are rounded to nearest.
/// Source: Gowal et al., "On the effectiveness of interval bound propagation for training
/// verifiably robust models", 2018; Shi et al., "Fast certified robust training with short warmup",
/// NeurIPS 2021.
struct Propagated {
  Var x;                           ///< what the layers make of x itself
  Var bounds;                      ///< and of the box
  std::vector<Var> before_relu{};  ///< the bounds that reached each ReLU
};
/// @throws ShapeError unless bounds have twice as many rows as x; ConfigError in an evaluation
/// whose bounds would not hold: a site with other formats than fp32 and integers, with stochastic
/// rounding, a narrow accumulator or products by a table, or whose grid no training has fixed
Propagated propagate(Pass& pass, std::span<const Layer> layers, Var x, Var bounds);

/// The most by which each logit can exceed that of the example's label: [n, classes], 0 at the
/// label. The last layer and the difference are one product (|w_j - w_label|), which is tighter
/// than bounds of both logits. The label's logit is the largest at every point of the box if all
/// others are below 0.
/// @param bounds of the last layer's inputs, [2 n, in]
/// @param labels ascending, since examples of one label are multiplied together
/// @throws ConfigError unless labels ascend; as propagate
Var worst_logits(Pass& pass, const Linear& last, Var bounds, std::span<const std::int32_t> labels);

/// Initial weights for certified training: normal with deviation sqrt(2 pi) / n of fan-in n, with
/// which the width of bounds stays what it is from layer to layer. All layers with products but the
/// last. Element i draws counter i of key.fold(site).
void init_for_bounds(ParamStore& params, std::span<const Layer> layers, Key key);

}  // namespace ebb
