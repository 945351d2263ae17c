#include "layers/layer_norm.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/range_of_parts.h"
#include "core/sums.h"
#include "layers/functions.h"
#include "quant/formats/grid.h"

namespace ebb {

LayerNorm LayerNorm::create(ParamStore& params, const std::string& name, std::int64_t width) {
  return {params.add(name + ".weight", Tensor::filled({width}, 1.0f)),
          params.add(name + ".bias", Tensor::zeros({width}))};
}

Var LayerNorm::operator()(Pass& pass, Var x) const {
  const Var w = pass.tape.parameter(weight), b = pass.tape.parameter(bias);
  if (pass.counting) return pass.tape.record_shape(pass.tape.shape(x), {x, w, b});
  const Tensor& in = pass.tape[x];
  const std::int64_t width = pass.tape.shape(w)[0];
  require<ShapeError>(in.shape().rank() >= 1 && in.shape()[-1] == width,
                      "[layer_norm] expected [..., ", width, "], got ", in.shape());
  const std::int64_t rows = in.size() / width;
  Tensor normal = Tensor::uninitialized(in.shape()), y = Tensor::uninitialized(in.shape());
  std::vector<float> inverse(static_cast<std::size_t>(rows));
  RangeOfParts range;
  const float* const pw = pass.tape[w].data();
  const float* const pb = pass.tape[b].data();
  parallel_rows(rows, 4 * width, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t at = first * width;
    layer_norm_rows(in.data() + at, pw, pb, kEpsilon, last - first, width, normal.data() + at,
                    y.data() + at, inverse.data() + first, pass.simd);
    range.add(measure_range({y.data() + at, last - first, width, width}, pass.simd));
  });
  auto backward = [=, &pass, normal = std::move(normal), inverse = std::move(inverse)](
                      Tensor&& g, Adjoints& grads) {
    const ColumnDots sums = column_sums_and_dots(g.matrix(), normal.matrix(), pass.simd);
    grads.add(w, rounded(sums.dot));
    grads.add(b, rounded(sums.sum));
    if (!grads.wants(x)) return;
    const float* const slope = pass.tape[w].data();
    parallel_rows(rows, 4 * width, [&](std::int64_t first, std::int64_t last) {
      const std::int64_t at = first * width;
      layer_norm_gradient_rows(normal.data() + at, slope, inverse.data() + first, last - first,
                               width, g.data() + at, pass.simd);
    });
    grads.add(x, std::move(g));
  };
  return pass.tape.record(std::move(y), {x, w, b}, std::move(backward), range.range());
}

}  // namespace ebb
