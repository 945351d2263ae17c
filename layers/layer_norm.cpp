#include "layers/layer_norm.h"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {
namespace {

constexpr double kEpsilon = 1e-5;

/// Sum of term(0) .. term(n - 1) in the order that LayerNorm states.
template <class Term>
double sum_row(std::int64_t n, const Term& term) {
  constexpr std::int64_t lanes = 16;
  std::array<double, lanes> sums{};
  std::int64_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) sums[static_cast<std::size_t>(lane)] += term(j + lane);
  }
  for (std::int64_t lane = 0; j < n; ++j, ++lane) sums[static_cast<std::size_t>(lane)] += term(j);
  return tree_sum(sums);
}

/// Normalised rows and the slope 1 / sqrt(variance + epsilon) of each.
struct Normalized {
  Tensor xhat;
  std::vector<double> slopes;
};

Normalized normalize(const Tensor& x) {
  const ConstMatrix in = x.matrix();
  const std::int64_t n = in.cols;
  Normalized result{Tensor::uninitialized(x.shape()), std::vector<double>(static_cast<std::size_t>(in.rows))};
  parallel_rows(in.rows, 4 * n, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const float* const row = in.data + i * n;
      float* const out = result.xhat.data() + i * n;
      const double mean = sum_row(n, [=](std::int64_t j) { return static_cast<double>(row[j]); }) / static_cast<double>(n);
      const double squares = sum_row(n, [=](std::int64_t j) {
        const double d = static_cast<double>(row[j]) - mean;
        return d * d;
      });
      const double slope = 1.0 / std::sqrt(squares / static_cast<double>(n) + kEpsilon);
      for (std::int64_t j = 0; j < n; ++j) out[j] = static_cast<float>((static_cast<double>(row[j]) - mean) * slope);
      result.slopes[static_cast<std::size_t>(i)] = slope;
    }
  });
  return result;
}

/// Turns g, the gradient of xhat, into that of x: slope (g - mean(g) - xhat mean(g xhat)) by rows, in double, rounded once.
void normalize_gradient(Tensor& g, const Tensor& xhat, const std::vector<double>& slopes) {
  const std::int64_t rows = g.matrix().rows, n = g.matrix().cols;
  parallel_rows(rows, 4 * n, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      float* const row = g.data() + i * n;
      const float* const hat = xhat.data() + i * n;
      const auto at = [](const float* values, std::int64_t j) { return static_cast<double>(values[j]); };
      const double mean = sum_row(n, [&](std::int64_t j) { return at(row, j); }) / static_cast<double>(n);
      const double along = sum_row(n, [&](std::int64_t j) { return at(row, j) * at(hat, j); }) / static_cast<double>(n);
      const double slope = slopes[static_cast<std::size_t>(i)];
      for (std::int64_t j = 0; j < n; ++j) row[j] = static_cast<float>(slope * (at(row, j) - mean - at(hat, j) * along));
    }
  });
}

Tensor rounded(const std::vector<double>& values) {
  Tensor result = Tensor::uninitialized({static_cast<std::int64_t>(values.size())});
  for (std::int64_t j = 0; j < result.size(); ++j) result[j] = static_cast<float>(values[static_cast<std::size_t>(j)]);
  return result;
}

}  // namespace

LayerNorm LayerNorm::create(ParamStore& params, const std::string& name, std::int64_t width) {
  require<ShapeError>(width >= 1, "[", name, "] expected rows of at least 1 element, got ", width);
  return {.width = width,
          .weight = params.add(name + ".weight", Tensor::filled({width}, 1.0f)),
          .bias = params.add(name + ".bias", Tensor::zeros({width}))};
}

Var LayerNorm::operator()(Pass& pass, Var x) const {
  const Shape shape = pass.tape.shape(x);
  require<ShapeError>(shape.rank() >= 1 && shape[-1] == width, "[layer norm] expected input [..., ", width, "], got ", shape);
  const Var w = pass.tape.parameter(weight), b = pass.tape.parameter(bias);
  Normalized kept = normalize(pass.tape[x]);
  Tensor y = Tensor::uninitialized(shape);
  parallel_rows(y.matrix().rows, width, [&, out = y.data()](std::int64_t first, std::int64_t last) {
    const float *const scale = pass.tape[w].data(), *const shift = pass.tape[b].data(), *const hat = kept.xhat.data();
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t j = 0; j < width; ++j) out[i * width + j] = hat[i * width + j] * scale[j] + shift[j];
    }
  });
  return pass.tape.record(std::move(y), {x, w, b}, [=, &pass, n = width, kept = std::move(kept)](Tensor&& g, Adjoints& grads) {
    const ColumnDots sums = column_sums_and_dots(g.matrix(), kept.xhat.matrix(), pass.simd);
    grads.add(w, rounded(sums.dot));
    grads.add(b, rounded(sums.sum));
    if (!grads.wants(x)) return;
    parallel_rows(g.matrix().rows, n, [&, scale = pass.tape[w].data()](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        for (std::int64_t j = 0; j < n; ++j) g[i * n + j] *= scale[j];
      }
    });
    normalize_gradient(g, kept.xhat, kept.slopes);
    grads.add(x, std::move(g));
  });
}

Var layer_norm(Pass& pass, Var x) {
  const Shape& shape = pass.tape.shape(x);
  require<ShapeError>(shape.rank() >= 1 && shape[-1] >= 1, "[layer norm] expected rows of at least 1 element, got ", shape);
  Normalized kept = normalize(pass.tape[x]);
  return pass.tape.record(std::move(kept.xhat), {x},
                          [=, &pass, y = pass.tape.next(), slopes = std::move(kept.slopes)](Tensor&& g, Adjoints& grads) {
                            normalize_gradient(g, pass.tape[y], slopes);
                            grads.add(x, std::move(g));
                          });
}

}  // namespace ebb
