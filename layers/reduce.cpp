#include "layers/reduce.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "layers/axes.h"
#include "layers/functions.h"

namespace ebb {
namespace {

/// Sums along the axis, divided by `divisor`, in the shape that is left.
Var reduce(Pass& pass, Var x, const AxisView& view, const Shape& left, double divisor) {
  const Tensor& in = pass.tape[x];
  const std::int64_t extent = view.extent, inner = view.inner;
  Tensor y = Tensor::uninitialized(left);
  parallel_rows(
      view.outer, extent * inner,
      [&, px = in.data(), py = y.data()](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const float* const from = px + i * extent * inner;
          if (inner == 1) {
            py[i] = static_cast<float>(sum_row(from, extent, pass.simd) / divisor);
            continue;
          }
          const std::vector<double> sums = column_sums({from, extent, inner, inner}, pass.simd);
          std::ranges::transform(sums, py + i * inner,
                                 [=](double v) { return static_cast<float>(v / divisor); });
        }
      });
  return pass.tape.record(std::move(y), {x}, [=, shape = in.shape()](Tensor&& g, Adjoints& grads) {
    for (float& v : g.values()) v = static_cast<float>(static_cast<double>(v) / divisor);
    Tensor gx = Tensor::uninitialized(shape);
    parallel_rows(view.outer, extent * inner,
                  [&, pg = g.data(), px = gx.data()](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t row = begin * extent; row < end * extent; ++row)
                      std::copy_n(pg + row / extent * inner, inner, px + row * inner);
                  });
    grads.add(x, std::move(gx));
  });
}

Var reduce_all(Pass& pass, Var x, double divisor) {
  const Tensor& in = pass.tape[x];
  const auto total = static_cast<float>(sum_of(in.values()) / divisor);
  return pass.tape.record(
      Tensor::scalar(total), {x}, [=, shape = in.shape()](const Tensor& g, Adjoints& grads) {
        grads.add(
            x, Tensor::filled(shape, static_cast<float>(static_cast<double>(g.item()) / divisor)));
      });
}

Shape without(const Shape& shape, int axis) {
  std::vector<std::int64_t> extents = extents_of(shape);
  extents.erase(extents.begin() + axis);
  return Shape(extents);
}

}  // namespace

Var sum(Pass& pass, Var x) { return reduce_all(pass, x, 1.0); }

Var mean(Pass& pass, Var x) {
  const Shape& shape = pass.tape.shape(x);
  require<ShapeError>(shape.size() > 0, "[mean] the mean of no elements is undefined, got ", shape);
  return reduce_all(pass, x, static_cast<double>(shape.size()));
}

Var sum(Pass& pass, Var x, int axis) {
  const Shape& shape = pass.tape.shape(x);
  const AxisView view = view_along("sum", shape, axis);
  return reduce(pass, x, view, without(shape, view.axis), 1.0);
}

Var mean(Pass& pass, Var x, int axis) {
  const Shape& shape = pass.tape.shape(x);
  const AxisView view = view_along("mean", shape, axis);
  require<ShapeError>(view.extent > 0, "[mean] the mean over an empty axis is undefined, got ",
                      shape, " along axis ", view.axis);
  return reduce(pass, x, view, without(shape, view.axis), static_cast<double>(view.extent));
}

}  // namespace ebb
