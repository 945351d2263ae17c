#include "layers/activations.h"

#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/range_of_parts.h"
#include "layers/functions.h"
#include "quant/formats/grid.h"

namespace ebb {
namespace {

// The logistic function's argument is x (kSlope + kCube x^2).
constexpr float kSlope = 1.5957691216057308f, kCube = 0.044715f * 1.5957691216057308f;

/// a s of the gate s = s(a), and its derivative. Where s or 1 - s is 0 the limit is taken: their
/// products with an infinite a are NaN.
float gated(float a, float s) { return s == 0.0f ? -0.0f : a * s; }
float gated_derivative(float a, float s) {
  const float rest = 1.0f - s;
  return s == 0.0f || rest == 0.0f ? s : s + a * s * rest;
}

Shape halved(const Shape& shape) {
  std::vector<std::int64_t> extents(shape.extents().begin(), shape.extents().end());
  extents.back() /= 2;
  return Shape(extents);
}

}  // namespace

Var gelu(Pass& pass, Var x) {
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x});
  const Tensor& in = pass.tape[x];
  Tensor gate = Tensor::uninitialized(in.shape()), y = Tensor::uninitialized(in.shape());
  RangeOfParts range;
  parallel_for(in.size(), [&](std::int64_t first, std::int64_t last) {
    gated_rows(in.data() + first, last - first, kSlope, kCube, gate.data() + first,
               y.data() + first, pass.simd);
    range.add(measure_range({y.data() + first, 1, last - first, last - first}, pass.simd));
  });
  auto backward = [=, &pass, gate = std::move(gate)](Tensor&& g, Adjoints& grads) {
    const float *const px = pass.tape[x].data(), *const ps = gate.data();
    float* const pg = g.data();
    parallel_for(g.size(), [=, &pass](std::int64_t first, std::int64_t last) {
      gated_gradient_rows(px + first, ps + first, last - first, kSlope, kCube, pg + first,
                          pass.simd);
    });
    grads.add(x, std::move(g));
  };
  return pass.tape.record(std::move(y), {x}, std::move(backward), range.range());
}

Var swiglu(Pass& pass, Var x) {
  const Tensor& in = pass.tape[x];
  require<ShapeError>(in.shape().rank() >= 1 && in.shape()[-1] % 2 == 0,
                      "[swiglu] expected [..., 2 n], got ", in.shape());
  const std::int64_t n = in.shape()[-1] / 2, rows = in.size() / (2 * n);
  Tensor gate = Tensor::uninitialized(halved(in.shape())),
         y = Tensor::uninitialized(halved(in.shape()));
  parallel_rows(rows, 2 * n, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const float *const a = in.data() + 2 * n * i, *const b = a + n;
      float *const ps = gate.data() + n * i, *const py = y.data() + n * i;
      sigmoid_rows(a, n, ps, pass.simd);
      for (std::int64_t j = 0; j < n; ++j) py[j] = gated(a[j], ps[j]) * b[j];
    }
  });
  return pass.tape.record(
      std::move(y), {x}, [=, &pass, gate = std::move(gate)](const Tensor& g, Adjoints& grads) {
        const Tensor& input = pass.tape[x];
        Tensor gx = Tensor::uninitialized(input.shape());
        parallel_rows(rows, 2 * n, [&](std::int64_t first, std::int64_t last) {
          for (std::int64_t i = first; i < last; ++i) {
            const float *const a = input.data() + 2 * n * i, *const b = a + n,
                               *const ps = gate.data() + n * i, *const pg = g.data() + n * i;
            float *const ga = gx.data() + 2 * n * i, *const gb = ga + n;
            for (std::int64_t j = 0; j < n; ++j) {
              ga[j] = pg[j] * b[j] * gated_derivative(a[j], ps[j]);
              gb[j] = pg[j] * gated(a[j], ps[j]);
            }
          }
        });
        grads.add(x, std::move(gx));
      });
}

}  // namespace ebb
