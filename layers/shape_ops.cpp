#include "layers/shape_ops.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"
#include "layers/axes.h"

namespace ebb {
namespace {

Tensor permuted(const Tensor& x, const std::vector<int>& axes) {
  const auto rank = axes.size();
  std::vector<std::int64_t> extents(rank), strides(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const AxisView view = view_along("permute", x.shape(), axes[i]);
    extents[i] = view.extent;
    strides[i] = view.inner;
  }
  Tensor y = Tensor::uninitialized(Shape(extents));
  if (y.size() == 0) return y;
  const std::int64_t n = rank == 0 ? 1 : extents.back(), stride = rank == 0 ? 1 : strides.back();
  parallel_rows(y.size() / n, n,
                [&, px = x.data(), py = y.data()](std::int64_t begin, std::int64_t end) {
                  for (std::int64_t row = begin; row < end; ++row) {
                    std::int64_t offset = 0, rest = row;
                    for (std::size_t i = rank;
                         i-- > 1;) {  // the place of the row, from its last axis to its first
                      offset += rest % extents[i - 1] * strides[i - 1];
                      rest /= extents[i - 1];
                    }
                    for (std::int64_t j = 0; j < n; ++j) py[row * n + j] = px[offset + j * stride];
                  }
                });
  return y;
}

/// Copies `outer` runs of n floats, which lie so far apart.
void copy_runs(std::int64_t outer, std::int64_t n, const float* from, std::int64_t from_stride,
               float* to, std::int64_t to_stride) {
  parallel_rows(outer, n, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::copy_n(from + i * from_stride, n, to + i * to_stride);
  });
}

Shape with_extent(const Shape& shape, int axis, std::int64_t extent) {
  std::vector<std::int64_t> extents = extents_of(shape);
  extents[static_cast<std::size_t>(axis)] = extent;
  return Shape(extents);
}

}  // namespace

Var flatten(Pass& pass, Var x) {
  const Shape& shape = pass.tape.shape(x);
  require<ShapeError>(shape.rank() >= 1, "[flatten] expected [batch, ...], got a scalar");
  std::int64_t features = 1;
  for (const std::int64_t extent : shape.extents().subspan(1)) features *= extent;
  return reshape(pass, x, {shape[0], features});
}

Var reshape(Pass& pass, Var x, const Shape& shape) {
  if (pass.counting && shape.size() == pass.tape.shape(x).size())
    return pass.tape.record_shape(shape, {x});
  return pass.tape.record(pass.tape[x].reshaped(shape), {x},
                          [=, before = pass.tape.shape(x)](Tensor&& g, Adjoints& grads) {
                            grads.add(x, std::move(g).reshaped(before));
                          });
}

Var permute(Pass& pass, Var x, const std::vector<int>& axes) {
  const Shape& shape = pass.tape.shape(x);
  std::vector<int> back(axes.size(), -1);  // which axis of the result was axis i
  require<ShapeError>(static_cast<int>(axes.size()) == shape.rank(), "[permute] expected all ",
                      shape.rank(), " axes of ", shape, ", got ", axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(view_along("permute", shape, axes[i]).axis);
    require<ShapeError>(back[axis] < 0, "[permute] expected each axis of ", shape,
                        " once, got axis ", axes[i], " twice");
    back[axis] = static_cast<int>(i);
  }
  return pass.tape.record(permuted(pass.tape[x], axes), {x}, [=](const Tensor& g, Adjoints& grads) {
    grads.add(x, permuted(g, back));
  });
}

Var transpose(Pass& pass, Var x, int axis0, int axis1) {
  const Shape& shape = pass.tape.shape(x);
  std::vector<int> axes(static_cast<std::size_t>(shape.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  const int a = view_along("transpose", shape, axis0).axis,
            b = view_along("transpose", shape, axis1).axis;
  std::swap(axes[static_cast<std::size_t>(a)], axes[static_cast<std::size_t>(b)]);
  return permute(pass, x, axes);
}

Var slice(Pass& pass, Var x, int axis, std::int64_t first, std::int64_t last) {
  const Shape shape = pass.tape.shape(x);
  const AxisView view = view_along("slice", shape, axis);
  require<ShapeError>(0 <= first && first <= last && last <= view.extent,
                      "[slice] expected 0 <= first <= last <= ", view.extent, " along axis ",
                      view.axis, " of ", shape, ", got ", first, " and ", last);
  const std::int64_t whole = view.extent * view.inner, n = (last - first) * view.inner,
                     begin = first * view.inner;
  const Shape part = with_extent(shape, view.axis, last - first);
  if (pass.counting) return pass.tape.record_shape(part, {x});
  Tensor y = Tensor::uninitialized(part);
  copy_runs(view.outer, n, pass.tape[x].data() + begin, whole, y.data(), n);
  return pass.tape.record(std::move(y), {x}, [=](const Tensor& g, Adjoints& grads) {
    Tensor gx = Tensor::zeros(shape);
    copy_runs(view.outer, n, g.data(), n, gx.data() + begin, whole);
    grads.add(x, std::move(gx));
  });
}

Var cat(Pass& pass, const std::vector<Var>& xs, int axis) {
  require<ShapeError>(!xs.empty(), "[cat] expected at least one value");
  const Shape& like = pass.tape.shape(xs.front());
  const AxisView view = view_along("cat", like, axis);
  std::int64_t extent = 0;
  for (const Var x : xs) {
    const Shape& shape = pass.tape.shape(x);
    require<ShapeError>(
        shape.rank() == like.rank() && with_extent(shape, view.axis, view.extent) == like,
        "[cat] expected values that differ along axis ", view.axis, " alone, got ", like, " and ",
        shape);
    extent += shape[view.axis];
  }
  const std::int64_t whole = extent * view.inner;
  const Shape together = with_extent(like, view.axis, extent);
  if (pass.counting) return pass.tape.record_shape(together, xs);
  Tensor y = Tensor::uninitialized(together);
  std::int64_t at = 0;
  for (const Var x : xs) {
    const std::int64_t n = pass.tape.shape(x)[view.axis] * view.inner;
    copy_runs(view.outer, n, pass.tape[x].data(), n, y.data() + at, whole);
    at += n;
  }
  return pass.tape.record(std::move(y), xs, [=, &pass](const Tensor& g, Adjoints& grads) {
    std::int64_t begin = 0;
    for (const Var x : xs) {
      const Shape& shape = pass.tape.shape(x);
      const std::int64_t n = shape[view.axis] * view.inner;
      if (grads.wants(x)) {
        Tensor gx = Tensor::uninitialized(shape);
        copy_runs(view.outer, n, g.data() + begin, whole, gx.data(), n);
        grads.add(x, std::move(gx));
      }
      begin += n;
    }
  });
}

}  // namespace ebb
