#include "layers/layer_norm.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"
#include "quant/grid.h"

namespace ebb {

LayerNorm LayerNorm::create(ParamStore& params, const std::string& name, std::int64_t width) {
  return {params.add(name + ".weight", Tensor::filled({width}, 1.0f)), params.add(name + ".bias", Tensor::zeros({width}))};
}

Var LayerNorm::operator()(Pass& pass, Var x) const {
  const Var w = pass.tape.parameter(weight), b = pass.tape.parameter(bias);
  const Tensor& in = pass.tape[x];
  const std::int64_t width = pass.tape.shape(w)[0];
  require<ShapeError>(in.shape().rank() >= 1 && in.shape()[-1] == width, "[layer_norm] expected [..., ", width, "], got ",
                      in.shape());
  const std::int64_t rows = in.size() / width;
  Tensor normal = Tensor::uninitialized(in.shape()), y = Tensor::uninitialized(in.shape());
  std::vector<float> inverse(static_cast<std::size_t>(rows));
  RangeOfParts range;
  const float* const pw = pass.tape[w].data();
  const float* const pb = pass.tape[b].data();
  parallel_rows(rows, 4 * width, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* const row = in.data() + i * width;
      const double n = static_cast<double>(width);
      const double mean = chained_sum(width, [=](std::int64_t j) { return static_cast<double>(row[j]); }) / n;
      const double variance = chained_sum(width,
                                          [=](std::int64_t j) {
                                            const double d = static_cast<double>(row[j]) - mean;
                                            return d * d;
                                          }) /
                              n;
      const double slope = 1.0 / std::sqrt(variance + kEpsilon);
      inverse[static_cast<std::size_t>(i)] = static_cast<float>(slope);
      float *const pn = normal.data() + i * width, *const py = y.data() + i * width;
      for (std::int64_t j = 0; j < width; ++j) {
        pn[j] = static_cast<float>((static_cast<double>(row[j]) - mean) * slope);
        py[j] = pn[j] * pw[j] + pb[j];
      }
    }
    range.add(measure_range({y.data() + first * width, last - first, width, width}, pass.simd));
  });
  auto backward = [=, &pass, normal = std::move(normal), inverse = std::move(inverse)](Tensor&& g, Adjoints& grads) {
    const ColumnDots sums = column_sums_and_dots(g.matrix(), normal.matrix(), pass.simd);
    grads.add(w, rounded(sums.dot));
    grads.add(b, rounded(sums.sum));
    if (!grads.wants(x)) return;
    const float* const slope = pass.tape[w].data();
    parallel_rows(rows, 4 * width, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        float* const row = g.data() + i * width;
        const float* const pn = normal.data() + i * width;
        for (std::int64_t j = 0; j < width; ++j) row[j] *= slope[j];
        const double n = static_cast<double>(width);
        const auto mean = static_cast<float>(chained_sum(width, [=](std::int64_t j) { return static_cast<double>(row[j]); }) / n);
        const auto along = static_cast<float>(
            chained_sum(width, [=](std::int64_t j) { return static_cast<double>(row[j]) * static_cast<double>(pn[j]); }) / n);
        const float scale = inverse[static_cast<std::size_t>(i)];
        for (std::int64_t j = 0; j < width; ++j) row[j] = ((row[j] - mean) - pn[j] * along) * scale;
      }
    });
    grads.add(x, std::move(g));
  };
  return pass.tape.record(std::move(y), {x, w, b}, std::move(backward), {.range = range.range()});
}

}  // namespace ebb
