#include "layers/graph.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"
#include "layers/elementwise.h"
#include "quant/aggregate.h"

namespace ebb {
namespace {

/// out = x with row i multiplied by scale[i]; x and out may be the same.
void scale_rows(const Tensor& x, std::span<const float> scale, Tensor& out) {
  const std::int64_t cols = x.matrix().cols;
  parallel_rows(x.matrix().rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const float factor = scale[static_cast<std::size_t>(i)];
      for (std::int64_t j = i * cols; j < (i + 1) * cols; ++j) out[j] = x[j] * factor;
    }
  });
}

/// aggregate() as the pass does it.
Tensor aggregate_in(const Pass& pass, const Site& site, Product product, const Csr& adjacency,
                    std::span<const float> factors, const Operand& x) {
  const Multiply how = pass.how(site, product);
  pass.show(SeenSum{how, adjacency, factors, x});
  return aggregate(adjacency, factors, x, how, pass.ledger);
}

/// Adds a bias [cols] to every row.
Var plus_bias(Pass& pass, Var x, ParamId bias) {
  const Var b = pass.tape.parameter(bias);
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x, b});
  Tensor y = copy_of(pass.tape[x]);
  const ConstMatrix rows = y.matrix();
  add_bias({y.data(), rows.rows, rows.cols, rows.cols}, pass.tape[b].data());
  return pass.tape.record(std::move(y), {x, b}, [=, simd = pass.simd](Tensor&& g, Adjoints& grads) {
    grads.add(b, bias_gradient(g, simd));
    grads.add(x, std::move(g));
  });
}

Site part_of(const Site& site, const char* part, const char* tag = nullptr) {
  std::vector<std::string> tags = site.tags;
  if (tag != nullptr) tags.emplace_back(tag);
  return {concat(site.name, '.', part), std::move(tags)};
}

/// A linear layer narrows before neighbours are summed, and widens afterwards.
bool linear_first(const Shape& weight) { return weight[1] > weight[0]; }

}  // namespace

std::shared_ptr<const Neighbourhood> symmetric_neighbourhood(const Csr& adjacency,
                                                             std::span<const std::int64_t> degrees,
                                                             bool self_loops) {
  require<ShapeError>(static_cast<std::int64_t>(degrees.size()) == adjacency.cols &&
                          adjacency.rows() <= adjacency.cols,
                      "[neighbourhood] expected a degree for each of ", adjacency.cols,
                      " nodes, targets first, got ", degrees.size());
  auto neighbours = std::make_shared<Neighbourhood>();
  neighbours->adjacency = self_loops ? adjacency.with_diagonal() : adjacency;
  neighbours->adjacency_transposed = neighbours->adjacency.transposed();
  const auto degree = [&](std::int64_t i) {
    const std::int64_t d = degrees[static_cast<std::size_t>(i)] + (self_loops ? 1 : 0);
    return static_cast<double>(std::max<std::int64_t>(1, d));
  };
  for (std::int64_t i = 0; i < neighbours->nodes(); ++i)
    neighbours->node_scale.push_back(static_cast<float>(1.0 / std::sqrt(degree(i))));
  for (std::int64_t i = 0; i < neighbours->targets(); ++i) {
    const auto count =
        static_cast<double>(std::max<std::int64_t>(1, neighbours->adjacency.count(i)));
    neighbours->target_scale.push_back(static_cast<float>(std::sqrt(degree(i)) / count));
  }
  return neighbours;
}

std::shared_ptr<const Neighbourhood> mean_neighbourhood(const Csr& adjacency) {
  auto neighbours = std::make_shared<Neighbourhood>(
      Neighbourhood{.adjacency = adjacency, .adjacency_transposed = adjacency.transposed()});
  for (std::int64_t i = 0; i < neighbours->targets(); ++i) {
    neighbours->target_scale.push_back(static_cast<float>(
        1.0 / static_cast<double>(std::max<std::int64_t>(1, adjacency.count(i)))));
  }
  return neighbours;
}

Var sum_neighbours(Pass& pass, const Site& site, Var x,
                   const std::shared_ptr<const Neighbourhood>& neighbours) {
  const Shape shape = pass.tape.shape(x);
  require<ShapeError>(shape.rank() == 2 && shape[0] == neighbours->nodes(), "[", site.name,
                      "] expected features [", neighbours->nodes(), ", n], got ", shape);
  const bool scales = !neighbours->node_scale.empty() && !pass.counting;
  Tensor scaled;
  if (scales) {
    scaled = Tensor::uninitialized(shape);
    scale_rows(pass.tape[x], neighbours->node_scale, scaled);
  }
  const Site here = pass.visit(site);
  const Quantized qx =
      pass.quantize(scales ? scaled.matrix() : pass.matrix_of(x), here, Role::activation);
  Tensor y = aggregate_in(pass, here, Product::aggregate, neighbours->adjacency,
                          neighbours->target_scale, qx.along(0, Product::aggregate));
  return pass.tape.record(std::move(y), {x}, [=, &pass](Tensor&& g, Adjoints& grads) {
    if (!pass.counting) scale_rows(g, neighbours->target_scale, g);
    const Quantized qg = pass.quantize(g, here, Role::gradient);
    grads.add(x, aggregate_in(pass, here, Product::aggregate_grad, neighbours->adjacency_transposed,
                              neighbours->node_scale, qg.along(0, Product::aggregate_grad)));
  });
}

Var select_rows(Pass& pass, Var x, std::span<const std::int64_t> indices) {
  const Shape shape = pass.tape.shape(x);
  require<ShapeError>(shape.rank() == 2, "[select_rows] expected a matrix, got ", shape);
  const std::int64_t cols = shape[1];
  if (pass.counting)
    return pass.tape.record_shape({static_cast<std::int64_t>(indices.size()), cols}, {x});
  const Tensor& from = pass.tape[x];
  Tensor y = Tensor::uninitialized({static_cast<std::int64_t>(indices.size()), cols});
  float* out = y.data();
  for (const std::int64_t i : indices) {
    require<ShapeError>(i >= 0 && i < shape[0], "[select_rows] there is no row ", i, " in ", shape);
    out = std::copy_n(from.data() + i * cols, cols, out);
  }
  return pass.tape.record(std::move(y), {x},
                          [=, rows = std::vector<std::int64_t>(indices.begin(), indices.end())](
                              const Tensor& g, Adjoints& grads) {
                            Tensor gx = Tensor::zeros(shape);
                            const float* row = g.data();
                            for (const std::int64_t i : rows) {
                              std::copy_n(row, cols, gx.data() + i * cols);
                              row += cols;
                            }
                            grads.add(x, std::move(gx));
                          });
}

GraphConv GraphConv::create(ParamStore& params, const Site& site, Tensor weight) {
  require<ShapeError>(weight.shape().rank() == 2, "[", site.name,
                      "] expected weights [out, in], got ", weight.shape());
  const std::int64_t out = weight.shape()[0], in = weight.shape()[1];
  const Tensor zeros = Tensor::zeros({out});
  const Shape shape = weight.shape();
  GraphConv layer{.linear = Linear::create(params, part_of(site, "linear"), std::move(weight),
                                           in > out ? std::nullopt : std::optional(zeros)),
                  .aggregate = part_of(site, "aggregate", "aggregate"),
                  .bias = {},
                  .weight = shape};
  if (in > out) layer.bias = params.add(site.name + ".bias", zeros);
  return layer;
}

Var GraphConv::operator()(Pass& pass, Var x,
                          const std::shared_ptr<const Neighbourhood>& neighbours) const {
  if (!linear_first(weight)) return linear(pass, sum_neighbours(pass, aggregate, x, neighbours));
  return plus_bias(pass, sum_neighbours(pass, aggregate, linear(pass, x), neighbours), bias);
}

SageConv SageConv::create(ParamStore& params, const Site& site, Tensor self, Tensor neighbour) {
  require<ShapeError>(self.shape().rank() == 2 && self.shape() == neighbour.shape(), "[", site.name,
                      "] expected two weights of one shape [out, in], got ", self.shape(), " and ",
                      neighbour.shape());
  const Shape shape = self.shape();
  Tensor bias = Tensor::zeros({shape[0]});
  return {.self = Linear::create(params, part_of(site, "self"), std::move(self), std::move(bias)),
          .neighbour = Linear::create(params, part_of(site, "neighbour"), std::move(neighbour),
                                      std::nullopt),
          .aggregate = part_of(site, "aggregate", "aggregate"),
          .weight = shape};
}

Var SageConv::operator()(Pass& pass, Var x,
                         const std::shared_ptr<const Neighbourhood>& neighbours) const {
  const Var around = linear_first(weight)
                         ? sum_neighbours(pass, aggregate, neighbour(pass, x), neighbours)
                         : neighbour(pass, sum_neighbours(pass, aggregate, x, neighbours));
  Var own = x;
  if (neighbours->targets() < neighbours->nodes()) {
    std::vector<std::int64_t> targets(static_cast<std::size_t>(neighbours->targets()));
    std::iota(targets.begin(), targets.end(), 0);
    own = select_rows(pass, x, targets);
  }
  return add(pass, self(pass, own), around);
}

}  // namespace ebb
