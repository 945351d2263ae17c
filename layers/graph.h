#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/csr.h"
#include "layers/linear.h"
#include "layers/pass.h"

namespace ebb {

/// The adjacency of one layer of a graph network and its factors: y(i) = target_scale[i] sum
/// of node_scale[k] x(k) over the nodes k that target i lists. The first nodes are the targets, so
/// that a target finds its own features.
struct Neighbourhood {
  Csr adjacency{};                    ///< [targets, nodes]
  Csr adjacency_transposed{};         ///< its transpose, for gradients
  std::vector<float> node_scale{};    ///< one per node; empty: all 1
  std::vector<float> target_scale{};  ///< one per target

  [[nodiscard]] std::int64_t targets() const { return adjacency.rows(); }
  [[nodiscard]] std::int64_t nodes() const { return adjacency.cols; }
};

/// Symmetric normalisation D^-1/2 A D^-1/2 with A the whole graph's, D its degrees, at least 1;
/// with `self_loops` both are those of A + I (the renormalised graph convolution). `degrees`: of
/// each node in the whole graph, without the loop. node_scale = D^-1/2. target_scale = D^1/2 /
/// (number of in-neighbours summed), which is D^-1/2 where all are, and makes up for those that are
/// not where neighbours are sampled. Both are computed in double and rounded once.
/// @throws ShapeError unless there is a degree for every node and targets are nodes
std::shared_ptr<const Neighbourhood> symmetric_neighbourhood(const Csr& adjacency,
                                                             std::span<const std::int64_t> degrees,
                                                             bool self_loops);
/// The mean of the in-neighbours; 0 where none are.
std::shared_ptr<const Neighbourhood> mean_neighbourhood(const Csr& adjacency);

/// y [targets, n] of x [nodes, n], see Neighbourhood.
///
/// | forward   x scaled by node_scale in float32, then encoded with one grid as the site's
/// |           activation; sums over in-neighbours (quant/aggregate.h), scaled by target_scale
/// | backward  the gradient scaled by target_scale, then encoded with one grid as the site's
/// |           gradient; sums over out-neighbours, scaled by node_scale
///
/// Activations are encoded over their own range, in evaluation too: a graph is not a sample of
/// something larger.
/// @throws ShapeError unless x has a row for each node
Var sum_neighbours(Pass& pass, const Site& site, Var x,
                   const std::shared_ptr<const Neighbourhood>& neighbours);

/// Rows of x [rows, n], in the order of the indices, none twice. @throws ShapeError for an index
/// outside the matrix
Var select_rows(Pass& pass, Var x, std::span<const std::int64_t> indices);

/// Graph convolution (Kipf & Welling, ICLR 2017): y = A^ x W^T + b with A^ a
/// symmetric_neighbourhood. The narrower side is summed over neighbours: after the product if in >
/// out, else before it. Sites "<site>.linear" and "<site>.aggregate" with the tags of `site`, the
/// latter tagged `aggregate`; the bias is not quantized.
struct GraphConv {
  Linear linear;
  Site aggregate;
  ParamId bias;  ///< added after the sums; index -1 where the linear layer has it
  Shape weight;  ///< [out, in]

  /// @throws ShapeError unless weight is [out, in]; ConfigError if a name is taken
  static GraphConv create(ParamStore& params, const Site& site, Tensor weight);

  Var operator()(Pass& pass, Var x, const std::shared_ptr<const Neighbourhood>& neighbours) const;
};

/// GraphSAGE with the mean of the neighbours (Hamilton, Ying, Leskovec, NeurIPS 2017): y = x_self
/// W_self^T + b + mean(x) W^T, with a mean_neighbourhood and order as in GraphConv. Sites
/// "<site>.self", "<site>.neighbour", "<site>.aggregate".
struct SageConv {
  Linear self, neighbour;
  Site aggregate;
  Shape weight;  ///< [out, in]

  /// @throws ShapeError unless both weights are of one shape [out, in]; ConfigError if a name is
  /// taken
  static SageConv create(ParamStore& params, const Site& site, Tensor self, Tensor neighbour);

  Var operator()(Pass& pass, Var x, const std::shared_ptr<const Neighbourhood>& neighbours) const;
};

}  // namespace ebb
