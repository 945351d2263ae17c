#include "layers/batch_norm.h"

#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sums.h"

namespace ebb {
namespace {

/// Mean and 1 / sqrt(var + epsilon) of every channel.
struct Moments {
  std::vector<double> mean, inverse;
};

/// out = (x - mean) slope + shift, by channel; all vectors in float32, as the loops use them.
struct Affine {
  std::vector<float> mean, slope, shift;
};

Moments batch_moments(const ConstMatrix& x, const BatchNorm& norm, ParamStore& params, Simd simd) {
  ColumnSums sums = column_sums_and_squares(x, simd);
  const auto n = static_cast<double>(x.rows);
  Moments moments{std::move(sums.sum), std::move(sums.squares)};
  Tensor &running_mean = params[norm.running_mean], &running_var = params[norm.running_var];
  for (std::size_t c = 0; c < moments.mean.size(); ++c) {
    const double mean = moments.mean[c] / n;
    const double mean_square = moments.inverse[c] / n;
    const double spread = mean_square - mean * mean;
    const double var = spread < 0 ? 0 : spread;  // rounding of a constant channel; a NaN stays
    moments.mean[c] = mean;
    moments.inverse[c] = 1.0 / std::sqrt(var + norm.epsilon);
    const auto i = static_cast<std::int64_t>(c);
    const auto moved = [&](float old, double now) {
      return static_cast<float>((1.0 - norm.momentum) * double{old} + norm.momentum * now);
    };
    running_mean[i] = moved(running_mean[i], mean);
    running_var[i] = moved(running_var[i], var * n / (n - 1.0));
  }
  return moments;
}

Moments running_moments(const BatchNorm& norm, const ParamStore& params) {
  Moments moments;
  for (const float mean : params[norm.running_mean].values()) moments.mean.push_back(double{mean});
  for (const float var : params[norm.running_var].values()) moments.inverse.push_back(1.0 / std::sqrt(double{var} + norm.epsilon));
  return moments;
}

Affine forward_affine(const Moments& moments, const Tensor& scale, const Tensor& shift) {
  Affine affine;
  for (std::size_t c = 0; c < moments.mean.size(); ++c) {
    const auto i = static_cast<std::int64_t>(c);
    affine.mean.push_back(static_cast<float>(moments.mean[c]));
    affine.slope.push_back(static_cast<float>(double{scale[i]} * moments.inverse[c]));
    affine.shift.push_back(shift[i]);
  }
  return affine;
}

void normalise(const ConstMatrix& x, const Affine& affine, float* out) {
  const float *const mean = affine.mean.data(), *const slope = affine.slope.data(), *const shift = affine.shift.data();
  parallel_rows(x.rows, x.cols, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t c = 0; c < x.cols; ++c) out[i * x.cols + c] = (x.data[i * x.cols + c] - mean[c]) * slope[c] + shift[c];
    }
  });
}

/// g becomes g slope + ((x - mean) along + offset): the gradient through the batch's own statistics.
void batch_gradient(const ConstMatrix& x, const Affine& forward, const std::vector<float>& along, const std::vector<float>& offset,
                    float* g) {
  const float *const mean = forward.mean.data(), *const slope = forward.slope.data(), *const a = along.data(),
                     *const b = offset.data();
  parallel_rows(x.rows, x.cols, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t c = 0; c < x.cols; ++c) {
        float& at = g[i * x.cols + c];
        at = at * slope[c] + ((x.data[i * x.cols + c] - mean[c]) * a[c] + b[c]);
      }
    }
  });
}

void running_gradient(const Affine& forward, std::int64_t rows, float* g) {
  const float* const slope = forward.slope.data();
  const auto cols = static_cast<std::int64_t>(forward.slope.size());
  parallel_rows(rows, cols, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t c = 0; c < cols; ++c) g[i * cols + c] *= slope[c];
    }
  });
}

}  // namespace

BatchNorm BatchNorm::create(ParamStore& params, const std::string& name, std::int64_t channels) {
  BatchNorm norm;
  norm.scale = params.add(name + ".scale", Tensor::filled({channels}, 1.0f));
  norm.shift = params.add(name + ".shift", Tensor::zeros({channels}));
  norm.running_mean = params.add(name + ".running_mean", Tensor::zeros({channels}), ParamStore::Kind::state);
  norm.running_var = params.add(name + ".running_var", Tensor::filled({channels}, 1.0f), ParamStore::Kind::state);
  return norm;
}

Var BatchNorm::operator()(Pass& pass, Var x) const {
  const Var w = pass.tape.parameter(scale), b = pass.tape.parameter(shift);
  const Shape shape = pass.tape.shape(x);
  const std::int64_t channels = pass.tape.shape(w)[0];
  require<ShapeError>(shape.rank() >= 2 && shape[-1] == channels, "[batch_norm ", pass.params.entry(scale).name,
                      "] expected input [..., ", channels, "], got ", shape);
  const ConstMatrix in = pass.tape[x].matrix();
  const bool batch = pass.training();
  require<ShapeError>(!batch || in.rows >= 2, "[batch_norm ", pass.params.entry(scale).name,
                      "] statistics need at least two values a channel, got ", shape, ": train with larger batches or images");

  Moments moments = batch ? batch_moments(in, *this, pass.params, pass.simd) : running_moments(*this, pass.params);
  Affine affine = forward_affine(moments, pass.tape[w], pass.tape[b]);
  Tensor y = Tensor::uninitialized(shape);
  normalise(in, affine, y.data());

  return pass.tape.record(std::move(y), {x, w, b},
                          [=, &pass, moments = std::move(moments), affine = std::move(affine)](Tensor&& g, Adjoints& grads) {
                            const ConstMatrix input = pass.tape[x].matrix();
                            const ColumnDots sums = column_sums_and_dots(g.matrix(), input, pass.simd);
                            const auto n = static_cast<double>(input.rows);
                            Tensor gw = Tensor::uninitialized({channels}), gb = Tensor::uninitialized({channels});
                            std::vector<float> along(static_cast<std::size_t>(channels)), offset(along.size());
                            for (std::size_t c = 0; c < along.size(); ++c) {
                              const double dot = moments.inverse[c] * (sums.dot[c] - moments.mean[c] * sums.sum[c]);
                              const double share = -double{affine.slope[c]} / n;
                              gw[static_cast<std::int64_t>(c)] = static_cast<float>(dot);
                              gb[static_cast<std::int64_t>(c)] = static_cast<float>(sums.sum[c]);
                              along[c] = static_cast<float>(share * dot * moments.inverse[c]);
                              offset[c] = static_cast<float>(share * sums.sum[c]);
                            }
                            grads.add(w, std::move(gw));
                            grads.add(b, std::move(gb));
                            if (!grads.wants(x)) return;
                            if (batch) {
                              batch_gradient(input, affine, along, offset, g.data());
                            } else {
                              running_gradient(affine, input.rows, g.data());
                            }
                            grads.add(x, std::move(g));
                          });
}

}  // namespace ebb
