#include "layers/interval.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "layers/elementwise.h"
#include "layers/init.h"
#include "layers/interval_rounding.h"
#include "layers/reduce.h"
#include "layers/shape_ops.h"

namespace ebb {
namespace {

constexpr double kPi = 3.14159265358979323846;

struct Ball {
  Var centre, radius;
};

Ball ball_of(Pass& pass, Var bounds) {
  const std::int64_t n = pass.tape.shape(bounds)[0] / 2;
  const Var lower = slice(pass, bounds, 0, 0, n), upper = slice(pass, bounds, 0, n, 2 * n);
  return {scale(pass, add(pass, upper, lower), 0.5f), scale(pass, sub(pass, upper, lower), 0.5f)};
}

Var ends_of(Pass& pass, const Ball& ball) {
  return cat(pass, {sub(pass, ball.centre, ball.radius), add(pass, ball.centre, ball.radius)}, 0);
}

/// The layer without its running range: centres of boxes are no inputs that it will see.
template <class Affine>
Var of_centre(Pass& pass, Affine layer, Var centre) {
  layer.input_range = {};
  return layer(pass, centre);
}

template <class Affine>
Var bound_in_training(Pass& pass, const Affine& layer, Var, Var bounds) {
  const Ball ball = ball_of(pass, bounds);
  const Var magnitudes = abs(pass, pass.tape.parameter(layer.weight));
  return ends_of(pass, {of_centre(pass, layer, ball.centre),
                        radius_layer(layer).with(pass, ball.radius, magnitudes)});
}

/// By the statistics of x, through which gradients go as through those of batch norm itself.
Var bound_in_training(Pass& pass, const BatchNorm& norm, Var x, Var bounds) {
  const Shape& shape = pass.tape.shape(x);
  const std::int64_t channels = shape[-1];
  const Var rows = reshape(pass, x, {shape.size() / channels, channels});
  const Var mean_of = mean(pass, rows, 0), apart = sub(pass, rows, mean_of);
  const Var floor =
      pass.tape.constant(Tensor::filled({channels}, static_cast<float>(norm.epsilon)));
  const Var variance = add(pass, mean(pass, mul(pass, apart, apart), 0), floor);
  const Var inverse = ebb::exp(pass, scale(pass, ebb::log(pass, variance), -0.5f));
  const Var slope = mul(pass, pass.tape.parameter(norm.weight), inverse);
  const Ball ball = ball_of(pass, bounds);
  const Var centre = mul(pass, sub(pass, ball.centre, mean_of), slope);
  return ends_of(pass, {add(pass, centre, pass.tape.parameter(norm.bias)),
                        mul(pass, ball.radius, abs(pass, slope))});
}

template <class Parametrised>
Var bound(Pass& pass, const Parametrised& layer, Var x, Var bounds) {
  return pass.training() ? bound_in_training(pass, layer, x, bounds)
                         : bound_outward(pass, layer, bounds);
}
/// Layers that keep the order of numbers, in each rounding too.
Var bound(Pass& pass, const MaxPool& layer, Var, Var bounds) {
  return forward(pass, layer, bounds);
}
Var bound(Pass& pass, const Relu& layer, Var, Var bounds) { return forward(pass, layer, bounds); }
Var bound(Pass& pass, const Flatten& layer, Var, Var bounds) {
  return forward(pass, layer, bounds);
}

/// logits [n, classes] less that of each row's label.
Var relative_to_label(Pass& pass, Var logits, std::span<const std::int32_t> labels) {
  const Shape shape = pass.tape.shape(logits);
  if (pass.counting) return pass.tape.record_shape(shape, {logits});
  const std::int64_t classes = shape[1];
  const Tensor& z = pass.tape[logits];
  Tensor y = Tensor::uninitialized(shape);
  std::vector<std::int64_t> at;  // of the label's logit
  for (std::size_t i = 0; i < labels.size(); ++i)
    at.push_back(static_cast<std::int64_t>(i) * classes + labels[i]);
  for (std::int64_t i = 0; i < z.size(); ++i)
    y[i] = z[i] - z[at[static_cast<std::size_t>(i / classes)]];
  return pass.tape.record(std::move(y), {logits}, [=](Tensor&& g, Adjoints& grads) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j < classes; ++j)
        sum += double{g[static_cast<std::int64_t>(i) * classes + j]};
      g[at[i]] = static_cast<float>(double{g[at[i]]} - sum);
    }
    grads.add(logits, std::move(g));
  });
}

}  // namespace

Propagated propagate(Pass& pass, std::span<const Layer> layers, Var x, Var bounds) {
  require<ShapeError>(pass.tape.shape(bounds)[0] == 2 * pass.tape.shape(x)[0],
                      "[interval] expected the lower and the upper ends of the bounds of ",
                      pass.tape.shape(x), ", got ", pass.tape.shape(bounds));
  Propagated result{.x = x, .bounds = bounds};
  for (const Layer& layer : layers) {
    if (std::holds_alternative<Relu>(layer)) result.before_relu.push_back(result.bounds);
    const Var before = result.x;
    result.x = forward(pass, layer, before);
    result.bounds =
        std::visit([&](const auto& one) { return bound(pass, one, before, result.bounds); }, layer);
  }
  return result;
}

Var worst_logits(Pass& pass, const Linear& last, Var bounds, std::span<const std::int32_t> labels) {
  require<ConfigError>(std::ranges::is_sorted(labels),
                       "[interval] expected examples in the order of their labels");
  if (!pass.training()) return worst_logits_outward(pass, last, bounds, labels);
  const Ball ball = ball_of(pass, bounds);
  const Var w = pass.tape.parameter(last.weight);
  const std::int64_t in = pass.tape.shape(w)[1];
  const Linear carrier = radius_layer(last);
  std::vector<Var> radii;
  for_each_label(labels, [&](std::int32_t label, std::int64_t first, std::int64_t end) {
    const Var row = reshape(pass, slice(pass, w, 0, label, label + 1), {in});
    radii.push_back(
        carrier.with(pass, slice(pass, ball.radius, 0, first, end), abs(pass, sub(pass, w, row))));
  });
  return add(pass, relative_to_label(pass, of_centre(pass, last, ball.centre), labels),
             cat(pass, radii, 0));
}

void init_for_bounds(ParamStore& params, std::span<const Layer> layers, Key key) {
  std::vector<std::pair<const Site*, ParamId>> weights;
  for (const Layer& layer : layers) {
    if (const auto* linear = std::get_if<Linear>(&layer))
      weights.emplace_back(&linear->site, linear->weight);
    if (const auto* conv = std::get_if<Conv2d>(&layer))
      weights.emplace_back(&conv->site, conv->weight);
  }
  for (std::size_t i = 0; i + 1 < weights.size(); ++i) {
    Tensor& w = params[weights[i].second];
    const auto fan_in = static_cast<double>(w.size() / w.shape()[0]);
    w = normal_init(w.shape(), std::sqrt(2.0 * kPi) / fan_in, key.fold(weights[i].first->name));
  }
}

}  // namespace ebb
