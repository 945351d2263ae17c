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

/// out = relu?((x - mean) slope + shift + add?), a row of `cols` channels after the other.
template <bool kAdd, bool kRelu>
void normalise_rows(const ConstMatrix& x, const Affine& affine, const float* add, float* out) {
  const float *const mean = affine.mean.data(), *const slope = affine.slope.data(), *const shift = affine.shift.data();
  parallel_rows(x.rows, x.cols, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first * x.cols; i < last * x.cols; i += x.cols) {
      for (std::int64_t c = 0; c < x.cols; ++c) {
        float y = (x.data[i + c] - mean[c]) * slope[c] + shift[c];
        if (kAdd) y += add[i + c];
        out[i + c] = kRelu && y <= 0.0f ? 0.0f : y;
      }
    }
  });
}

void normalise(const ConstMatrix& x, const Affine& affine, const float* add, bool relu, float* out) {
  const auto run = add != nullptr ? (relu ? normalise_rows<true, true> : normalise_rows<true, false>)
                                  : (relu ? normalise_rows<false, true> : normalise_rows<false, false>);
  run(x, affine, add, out);
}

/// gx = g slope + ((x - mean) along + offset): the gradient through the batch's own statistics. gx may be g.
void batch_gradient(const ConstMatrix& x, const Affine& forward, const std::vector<float>& along, const std::vector<float>& offset,
                    const float* g, float* gx) {
  const float *const mean = forward.mean.data(), *const slope = forward.slope.data(), *const a = along.data(),
                     *const b = offset.data();
  parallel_rows(x.rows, x.cols, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t c = 0; c < x.cols; ++c) {
        const std::int64_t at = i * x.cols + c;
        gx[at] = g[at] * slope[c] + ((x.data[at] - mean[c]) * a[c] + b[c]);
      }
    }
  });
}

void running_gradient(const Affine& forward, std::int64_t rows, const float* g, float* gx) {
  const float* const slope = forward.slope.data();
  const auto cols = static_cast<std::int64_t>(forward.slope.size());
  parallel_rows(rows, cols, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t c = 0; c < cols; ++c) gx[i * cols + c] = g[i * cols + c] * slope[c];
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

Var BatchNorm::operator()(Pass& pass, Var x, const Then& then) const {
  const Var w = pass.tape.parameter(scale), b = pass.tape.parameter(shift), added = then.add.value_or(w);
  const Shape shape = pass.tape.shape(x);
  const std::int64_t channels = pass.tape.shape(w)[0];
  const std::string& name = pass.params.entry(scale).name;
  require<ShapeError>(shape.rank() >= 2 && shape[-1] == channels, "[batch_norm ", name, "] expected input [..., ", channels,
                      "], got ", shape);
  require<ShapeError>(!then.add || pass.tape.shape(added) == shape, "[batch_norm ", name, "] cannot add ", pass.tape.shape(added),
                      " to ", shape);
  const ConstMatrix in = pass.tape[x].matrix();
  const bool batch = pass.training();
  require<ShapeError>(!batch || in.rows >= 2, "[batch_norm ", name, "] statistics need at least two values a channel, got ", shape,
                      ": train with larger batches or images");

  Moments moments = batch ? batch_moments(in, *this, pass.params, pass.simd) : running_moments(*this, pass.params);
  Affine affine = forward_affine(moments, pass.tape[w], pass.tape[b]);
  Tensor y = Tensor::uninitialized(shape);
  normalise(in, affine, then.add ? pass.tape[added].data() : nullptr, then.relu, y.data());

  const Var self = pass.tape.next();
  auto backward = [=, &pass, moments = std::move(moments), affine = std::move(affine)](Tensor&& g, Adjoints& grads) {
    const ConstMatrix input = pass.tape[x].matrix();
    const float* const output = then.relu ? pass.tape[self].data() : nullptr;
    float* const pg = g.data();
    const ColumnDots sums = column_sums_and_dots(g.matrix(), input, pass.simd, [=](std::int64_t first, std::int64_t last) {
      if (output == nullptr) return;
      for (std::int64_t i = first * channels; i < last * channels; ++i) pg[i] = output[i] <= 0.0f ? 0.0f : pg[i];
    });
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
    const auto input_gradient = [&](const float* from, float* to) {
      if (batch) {
        batch_gradient(input, affine, along, offset, from, to);
      } else {
        running_gradient(affine, input.rows, from, to);
      }
    };
    const bool add_wants = then.add && grads.wants(added);
    if (grads.wants(x) && !add_wants) {
      input_gradient(g.data(), g.data());
      grads.add(x, std::move(g));
      return;
    }
    if (grads.wants(x)) {  // g itself is still needed, as the gradient of what was added
      Tensor gx = Tensor::uninitialized(shape);
      input_gradient(g.data(), gx.data());
      grads.add(x, std::move(gx));
    }
    if (add_wants) grads.add(added, std::move(g));
  };
  return pass.tape.record(std::move(y), {x, w, b, added}, std::move(backward));
}

}  // namespace ebb
