#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

#include "layers/sequence.h"

// Bounds in evaluations: every step rounds outward, so that they hold for what the network computes
// (docs/NUMERICS.md, "Bounds").

namespace ebb {

/// The least float32 that is not below x, and the largest that is not above it.
inline float round_up(double x) {
  const auto y = static_cast<float>(x);
  return static_cast<double>(y) < x ? std::nextafter(y, std::numeric_limits<float>::infinity()) : y;
}
inline float round_down(double x) { return -round_up(-x); }

/// The bounds of what a layer makes of inputs within bounds. @throws ConfigError as propagate
Var bound_outward(Pass& pass, const Conv2d& layer, Var bounds);
Var bound_outward(Pass& pass, const Linear& layer, Var bounds);
Var bound_outward(Pass& pass, const BatchNorm& layer, Var bounds);
/// worst_logits, rounded up.
Var worst_logits_outward(Pass& pass, const Linear& last, Var bounds,
                         std::span<const std::int32_t> labels);

/// The layer that carries radii: at a site of its own, without bias and without running range.
template <class Affine>
Affine radius_layer(const Affine& layer) {
  Affine result = layer;
  result.site.name += ".radius";
  result.bias = result.input_range = {};
  return result;
}

/// Calls body(label, first, last) for every run of equal labels.
template <class Body>
void for_each_label(std::span<const std::int32_t> labels, const Body& body) {
  for (std::size_t first = 0; first < labels.size();) {
    std::size_t last = first;
    while (last < labels.size() && labels[last] == labels[first]) ++last;
    body(labels[first], static_cast<std::int64_t>(first), static_cast<std::int64_t>(last));
    first = last;
  }
}

}  // namespace ebb
