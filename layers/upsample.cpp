#include "layers/upsample.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/checked.h"
#include "core/error.h"
#include "core/parallel.h"

namespace ebb {

Var upsample_nearest(Pass& pass, Var x, std::int64_t factor) {
  const Shape shape = pass.tape.shape(x);
  require<ConfigError>(factor >= 1, "[upsample_nearest] expected a factor of at least 1, got ",
                       factor);
  require<ShapeError>(shape.rank() == 4,
                      "[upsample_nearest] expected images [batch, height, width, channels], got ",
                      shape);
  const std::int64_t width = shape[2], channels = shape[3], rows = shape[0] * shape[1];
  const std::int64_t wide = checked_mul(width, factor, "[upsample_nearest] width"),
                     run = wide * channels;
  const Shape larger{shape[0], checked_mul(shape[1], factor, "[upsample_nearest] height"), wide,
                     channels};
  if (pass.counting) return pass.tape.record_shape(larger, {x});
  const Tensor& in = pass.tape[x];
  Tensor y = Tensor::uninitialized(larger);
  parallel_rows(rows, factor * run,
                [=, px = in.data(), py = y.data()](std::int64_t first, std::int64_t last) {
                  for (std::int64_t row = first; row < last; ++row) {
                    float* const to = py + row * factor * run;
                    for (std::int64_t j = 0; j < wide; ++j)
                      std::copy_n(px + (row * width + j / factor) * channels, channels,
                                  to + j * channels);
                    for (std::int64_t i = 1; i < factor; ++i) std::copy_n(to, run, to + i * run);
                  }
                });
  return pass.tape.record(std::move(y), {x}, [=](const Tensor& g, Adjoints& grads) {
    Tensor gx = Tensor::uninitialized(shape);
    parallel_rows(rows, factor * run,
                  [&, pg = g.data(), to = gx.data()](std::int64_t first, std::int64_t last) {
                    std::vector<double> sums(static_cast<std::size_t>(channels));
                    for (std::int64_t pixel = first * width; pixel < last * width; ++pixel) {
                      std::ranges::fill(sums, 0.0);
                      const float* const corner =
                          pg + pixel / width * factor * run + pixel % width * factor * channels;
                      for (std::int64_t i = 0; i < factor * factor; ++i) {
                        const float* const from = corner + i / factor * run + i % factor * channels;
                        for (std::size_t c = 0; c < sums.size(); ++c)
                          sums[c] += static_cast<double>(from[c]);
                      }
                      std::ranges::transform(sums, to + pixel * channels,
                                             [](double sum) { return static_cast<float>(sum); });
                    }
                  });
    grads.add(x, std::move(gx));
  });
}

}  // namespace ebb
