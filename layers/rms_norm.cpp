#include "layers/rms_norm.h"

#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {

RmsNorm RmsNorm::create(ParamStore& params, const std::string& name, std::int64_t width) {
  RmsNorm norm;
  norm.weight = params.add(name + ".weight", Tensor::filled({width}, 1.0f));
  return norm;
}

Var RmsNorm::operator()(Pass& pass, Var x) const {
  const Var w = pass.tape.parameter(weight);
  const Tensor& in = pass.tape[x];
  const std::int64_t width = pass.tape.shape(w)[0];
  require<ShapeError>(in.shape().rank() >= 1 && in.shape()[-1] == width,
                      "[rms_norm] expected [..., ", width, "], got ", in.shape());
  const std::int64_t rows = width == 0 ? 0 : in.size() / width;
  Tensor normal = Tensor::uninitialized(in.shape()), y = Tensor::uninitialized(in.shape());
  std::vector<float> inverse(static_cast<std::size_t>(rows));
  parallel_rows(
      rows, 4 * width, [&, pw = pass.tape[w].data()](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          const float* const from = in.data() + i * width;
          float *const n = normal.data() + i * width, *const to = y.data() + i * width;
          const double squares = chained_sum(width, [&](std::int64_t j) {
            const double v = from[j];
            return v * v;
          });
          const double slope = 1.0 / std::sqrt(squares / static_cast<double>(width) + epsilon);
          inverse[static_cast<std::size_t>(i)] = static_cast<float>(slope);
          for (std::int64_t j = 0; j < width; ++j) {
            n[j] = static_cast<float>(static_cast<double>(from[j]) * slope);
            to[j] = n[j] * pw[j];
          }
        }
      });
  auto backward = [=, &pass, normal = std::move(normal), inverse = std::move(inverse)](
                      Tensor&& g, Adjoints& grads) {
    grads.add(w, rounded(column_sums_and_dots(g.matrix(), normal.matrix(), pass.simd).dot));
    if (!grads.wants(x)) return;
    parallel_rows(rows, 4 * width,
                  [&, pw = pass.tape[w].data()](std::int64_t first, std::int64_t last) {
                    for (std::int64_t i = first; i < last; ++i) {
                      const float *const n = normal.data() + i * width,
                                         slope = inverse[static_cast<std::size_t>(i)];
                      float* const h = g.data() + i * width;
                      for (std::int64_t j = 0; j < width; ++j) h[j] *= pw[j];
                      const double dot = chained_sum(width, [&](std::int64_t j) {
                        return static_cast<double>(h[j]) * static_cast<double>(n[j]);
                      });
                      const auto along = static_cast<float>(dot / static_cast<double>(width));
                      for (std::int64_t j = 0; j < width; ++j) h[j] = (h[j] - n[j] * along) * slope;
                    }
                  });
    grads.add(x, std::move(g));
  };
  return pass.tape.record(std::move(y), {x, w}, std::move(backward));
}

}  // namespace ebb
