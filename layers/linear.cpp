#include "layers/linear.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {
namespace {

Shape with_last(const Shape& shape, std::int64_t extent) {
  std::vector<std::int64_t> extents(shape.extents().begin(), shape.extents().end());
  extents.back() = extent;
  return Shape(extents);
}

MutableMatrix whole(Tensor& x) {
  const ConstMatrix m = x.matrix();
  return {x.data(), m.rows, m.cols, m.cols};
}

}  // namespace

Linear Linear::create(ParamStore& params, Site site, Tensor weight, std::optional<Tensor> bias) {
  require<ShapeError>(weight.shape().rank() == 2, "[", site.name,
                      "] expected weights [out, in], got ", weight.shape());
  require<ShapeError>(!bias || bias->shape() == Shape{weight.shape()[0]}, "[", site.name,
                      "] weights ", weight.shape(), " need a bias [", weight.shape()[0], "]");
  Linear layer;
  layer.weight = params.add(site.name + ".weight", std::move(weight));
  if (bias) layer.bias = params.add(site.name + ".bias", *std::move(bias));
  layer.input_range = add_running_range(params, site);
  layer.site = std::move(site);
  return layer;
}

Var Linear::with(Pass& pass, Var x, Var w) const {
  const Shape shape = pass.tape.shape(x);
  const std::int64_t out = pass.tape.shape(w)[0], in = pass.tape.shape(w)[1];
  require<ShapeError>(shape.rank() >= 2 && shape[-1] == in, "[", site.name,
                      "] expected input [batch, ", in, "], got ", shape);

  const Site here = pass.visit(site);
  const Quantized qx =
      pass.quantize(x, here, Role::activation, {.running_range = input_range, .whole = true});
  const Quantized qw = pass.quantize(w, here, Role::weight, {.whole = true});
  Tensor y = pass.empty(with_last(shape, out));
  const Var b = bias.index >= 0 ? pass.tape.parameter(bias) : w;
  pass.multiply_into(qx.along(1, Product::forward), qw.along(1, Product::forward).transposed(),
                     here, Product::forward, whole(y), {}, b != w ? pass.tape[b].data() : nullptr);

  return pass.tape.record(std::move(y), {x, w, b}, [=, &pass](const Tensor& g, Adjoints& grads) {
    GradientSummary summary = b != w ? summarise_gradient(g, pass.simd) : GradientSummary{};
    const Quantized qg =
        pass.quantize(g, here, Role::gradient, {.range = summary.range, .whole = true});
    if (grads.wants(x)) {
      Tensor gx = pass.empty(shape);
      pass.multiply_into(qg.along(1, Product::grad_left), qw.along(0, Product::grad_left), here,
                         Product::grad_left, whole(gx));
      grads.add(x, std::move(gx));
    }
    Tensor gw = pass.empty({out, in});
    pass.multiply_into(qg.along(0, Product::grad_right).transposed(),
                       qx.along(0, Product::grad_right), here, Product::grad_right, whole(gw));
    grads.add(w, std::move(gw));
    if (b != w) grads.add(b, std::move(summary.bias));
  });
}

Tensor bias_gradient(const Tensor& g, Simd simd) { return rounded(column_sums(g.matrix(), simd)); }

GradientSummary summarise_gradient(const Tensor& g, Simd simd) {
  const ConstMatrix m = g.matrix();
  if (!g.has_elements()) return {Tensor::shape_only({m.cols}), std::nullopt};
  ColumnBlocks columns(m.rows, m.cols, simd);
  parallel_rows((m.rows + kSumBlock - 1) / kSumBlock, kSumBlock * m.cols,
                [&](std::int64_t first, std::int64_t last) {
                  columns.summarise(g.data() + first * kSumBlock * m.cols, first * kSumBlock,
                                    std::min(m.rows, last * kSumBlock));
                });
  return {rounded(columns.sum()), columns.range()};
}

}  // namespace ebb
