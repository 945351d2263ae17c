#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/csr.h"
#include "core/tensor.h"
#include "quant/formats/format.h"
#include "quant/gemm.h"
#include "quant/operand.h"
#include "quant/patches.h"
#include "quant/plan.h"

namespace ebb {

/// A matrix that a pass encoded, and its codes.
struct EncodedMatrix {
  const ConstMatrix& x;
  const Operand& operand;
  const Site& site;
  Role role;
  bool own;  ///< as the plan says; else in one of Observer::formats
};

/// Products of a site that are about to be done, each of the operands that it really has. What is
/// done with their results, such as adding a bias, is no part of them.
struct SeenProducts {
  const Multiply& how;
  std::span<const BatchedProduct> products;
  /// Set for a depthwise convolution, which is one product: how the patches lie over its left
  /// operand, the images; the right one holds the weights [taps, channels] or the gradient.
  const PatchGeometry* depthwise = nullptr;
};

/// A sum over neighbours that is about to be done, see aggregate().
struct SeenSum {
  const Multiply& how;
  const Csr& adjacency;
  std::span<const float> factors;
  const Operand& x;
};

/// Looks on while a pass works. Nothing that it does reaches the pass: values, gradients, effects
/// and charges have the same bits with it and without. It is called by one thread.
struct Observer {
  /// Every matrix is also encoded in each of these, with the grid style, rounding, granularity,
  /// range and key of its own encoding; at a float32 site, with those of the plan's base. Encodings
  /// in linear formats become Operand::alternatives, as codes. A format that cannot hold the matrix
  /// is left out.
  std::vector<Format> formats{};
  std::function<void(const EncodedMatrix&)> encoded{};  ///< not for matrices that stay float32
  std::function<void(const SeenProducts&)> products{};
  std::function<void(const SeenSum&)> sum{};
};

}  // namespace ebb
