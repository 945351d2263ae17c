#include "layers/conv2d.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/error.h"
#include "layers/linear.h"
#include "quant/depthwise.h"

namespace ebb {
namespace {

/// The extents of one application of a convolution.
struct Extents {
  std::int64_t batch, height, width, in, out_height, out_width, out, taps_y, taps_x, group_in,
      group_out;
  ConvConfig config;

  [[nodiscard]] std::int64_t taps() const { return taps_y * taps_x; }
  [[nodiscard]] Shape input() const { return {batch, height, width, in}; }
  [[nodiscard]] Shape output() const { return {batch, out_height, out_width, out}; }
  /// The patch matrix is the image matrix itself.
  [[nodiscard]] bool pointwise() const {
    return taps() == 1 && config.stride == 1 && config.pad == 0;
  }

  /// Every channel has its own taps and meets no other.
  [[nodiscard]] bool depthwise() const {
    return config.groups > 1 && group_in == 1 && group_out == 1;
  }

  /// Patches of one group of the input, or of all channels of a depthwise convolution; positions
  /// are output pixels.
  [[nodiscard]] PatchGeometry input_patches() const {
    return {.images = batch,
            .height = height,
            .width = width,
            .channels = depthwise() ? in : group_in,
            .pixel_stride = in,
            .out_height = out_height,
            .out_width = out_width,
            .taps_y = taps_y,
            .taps_x = taps_x,
            .step = config.stride,
            .divide = 1,
            .pad_top = config.pad,
            .pad_left = config.pad,
            .nominal_positions = batch * out_height * out_width};
  }
  /// The same of the output's gradient; positions are input pixels. Input row i meets output row o
  /// through tap ky = i + pad - o stride; with ky counted from the other end, o = (i + ky' - (taps
  /// - 1 - pad)) / stride.
  [[nodiscard]] PatchGeometry gradient_patches() const {
    return {.images = batch,
            .height = out_height,
            .width = out_width,
            .channels = depthwise() ? out : group_out,
            .pixel_stride = out,
            .out_height = height,
            .out_width = width,
            .taps_y = taps_y,
            .taps_x = taps_x,
            .step = 1,
            .divide = config.stride,
            .pad_top = taps_y - 1 - config.pad,
            .pad_left = taps_x - 1 - config.pad,
            .nominal_positions = batch * out_height * out_width};
  }
};

Extents extents_of(const Site& site, const ConvConfig& config, const Shape& x, const Shape& w) {
  const std::int64_t in = w[3] * config.groups;
  require<ShapeError>(x.rank() == 4 && x[3] == in, "[", site.name,
                      "] expected images [batch, height, width, ", in, "], got ", x);
  const std::int64_t room_y = x[1] + 2 * config.pad - w[1], room_x = x[2] + 2 * config.pad - w[2];
  require<ShapeError>(room_y >= 0 && room_x >= 0, "[", site.name, "] a kernel of ", w[1], " x ",
                      w[2], " does not fit into images of ", x[1], " x ", x[2], " padded by ",
                      config.pad);
  return {x[0], x[1], x[2], in,   room_y / config.stride + 1, room_x / config.stride + 1,
          w[0], w[1], w[2], w[3], w[0] / config.groups,       config};
}

ConstMatrix weight_rows(const Tensor& w) {
  const std::int64_t out = w.shape()[0], k = out == 0 ? 0 : w.size() / out;
  return {w.data(), out, k, k, 1};
}

/// Weights for grad_left: [taps_y x taps_x x group_out, in], taps counted from the other end;
/// group g's matrix is its group_in columns.
Tensor flipped_weights(const Tensor& w, const Extents& e) {
  Tensor flipped = Tensor::uninitialized({e.taps() * e.group_out, e.in});
  const float* source = w.data();
  for (std::int64_t o = 0; o < e.out; ++o) {
    const std::int64_t group = o / e.group_out, row_in_tap = o % e.group_out;
    for (std::int64_t tap = e.taps() - 1; tap >= 0; --tap, source += e.group_in) {
      std::copy_n(source, e.group_in,
                  flipped.data() + (tap * e.group_out + row_in_tap) * e.in + group * e.group_in);
    }
  }
  return flipped;
}

/// One group's columns of an image tensor's operand, as a patch matrix.
Operand gathered(const Operand& images, std::int64_t group, const PatchGeometry& geometry,
                 bool pointwise) {
  const Operand part = images.columns(group * geometry.channels, geometry.channels);
  return pointwise ? part : part.patches(geometry);
}

/// Rows of the result are complete with their last group.
RowsDone after_last_group(const Extents& e, std::int64_t group, const RowsDone& rows_done) {
  return group + 1 == e.config.groups ? rows_done : RowsDone{};
}

void forward(const Pass& pass, const Site& site, const Operand& qx, const Operand& qw,
             const Extents& e, Tensor& y, const RowsDone& rows_done) {
  const PatchGeometry geometry = e.input_patches();
  if (e.depthwise()) {
    return depthwise_into(qx, geometry, qw.transposed(),
                          pass.how(site, Product::forward, rows_done), pass.ledger,
                          {y.data(), geometry.rows(), e.out, e.out});
  }
  for (std::int64_t group = 0; group < e.config.groups; ++group) {
    pass.multiply_into(gathered(qx, group, geometry, e.pointwise()),
                       qw.rows(group * e.group_out, e.group_out).transposed(), site,
                       Product::forward,
                       {y.data() + group * e.group_out, geometry.rows(), e.group_out, e.out},
                       after_last_group(e, group, rows_done));
  }
}

void grad_left(Pass& pass, const Site& site, const Operand& qg, const Tensor& w, const Extents& e,
               Tensor& gx, const RowsDone& rows_done) {
  const Tensor flipped = flipped_weights(w, e);
  const Operand qw = pass.quantize(flipped, site, Role::weight).along(0);
  const PatchGeometry geometry = e.gradient_patches();
  if (e.depthwise()) {
    return depthwise_into(qg, geometry, qw, pass.how(site, Product::grad_left, rows_done),
                          pass.ledger, {gx.data(), geometry.rows(), e.in, e.in});
  }
  for (std::int64_t group = 0; group < e.config.groups; ++group) {
    pass.multiply_into(gathered(qg, group, geometry, e.pointwise()),
                       qw.columns(group * e.group_in, e.group_in), site, Product::grad_left,
                       {gx.data() + group * e.group_in, geometry.rows(), e.group_in, e.in},
                       after_last_group(e, group, rows_done));
  }
}

Tensor grad_right(const Pass& pass, const Site& site, const Operand& qg, const Operand& qx,
                  const Extents& e) {
  Tensor gw = Tensor::uninitialized({e.out, e.taps_y, e.taps_x, e.group_in});
  const PatchGeometry geometry = e.input_patches();
  if (e.depthwise()) {
    depthwise_grad_weight_into(qx, geometry, qg, pass.how(site, Product::grad_right), pass.ledger,
                               gw.data());
    return gw;
  }
  for (std::int64_t group = 0; group < e.config.groups; ++group) {
    const std::int64_t first = group * e.group_out;
    pass.multiply_into(
        qg.columns(first, e.group_out).transposed(), gathered(qx, group, geometry, e.pointwise()),
        site, Product::grad_right,
        {gw.data() + first * geometry.cols(), e.group_out, geometry.cols(), geometry.cols()});
  }
  return gw;
}

}  // namespace

Conv2d Conv2d::create(ParamStore& params, Site site, Tensor weight, ConvConfig config,
                      std::optional<Tensor> bias) {
  require<ConfigError>(config.stride >= 1 && config.pad >= 0 && config.groups >= 1, "[", site.name,
                       "] expected stride >= 1, pad >= 0 and groups >= 1, got ", config.stride,
                       ", ", config.pad, " and ", config.groups);
  const Shape& w = weight.shape();
  require<ShapeError>(w.rank() == 4 && w.size() > 0, "[", site.name,
                      "] expected weights [out, taps_y, taps_x, in / groups], got ", w);
  require<ConfigError>(w[0] % config.groups == 0, "[", site.name, "] ", w[0],
                       " outputs do not divide into ", config.groups, " groups");
  require<ShapeError>(!bias || bias->shape() == Shape{w[0]}, "[", site.name, "] weights ", w,
                      " need a bias [", w[0], "]");
  Conv2d layer;
  layer.config = config;
  layer.weight = params.add(site.name + ".weight", std::move(weight));
  if (bias) layer.bias = params.add(site.name + ".bias", *std::move(bias));
  layer.input_range = add_running_range(params, site);
  layer.site = std::move(site);
  return layer;
}

Var Conv2d::operator()(Pass& pass, Var x, bool summarise) const {
  const Var w = pass.tape.parameter(weight), b = bias.index >= 0 ? pass.tape.parameter(bias) : w;
  const Extents e = extents_of(site, config, pass.tape.shape(x), pass.tape.shape(w));
  const Site here = pass.visit(site);
  const Quantized qx = pass.quantize(x, here, Role::activation, {.running_range = input_range});
  const Quantized qw = pass.quantize(weight_rows(pass.tape[w]), here, Role::weight);
  Tensor y = Tensor::uninitialized(e.output());
  const float* const added = b != w ? pass.tape[b].data() : nullptr;
  const auto columns = summarise && pass.training()
                           ? std::make_shared<ColumnBlocks>(y.size() / e.out, e.out, pass.simd)
                           : nullptr;
  RowsDone rows_done;
  if (columns != nullptr || added != nullptr) {
    rows_done = [=, out = y.data(), &columns, &e](std::int64_t first, std::int64_t last) {
      if (added != nullptr) add_bias({out + first * e.out, last - first, e.out, e.out}, added);
      if (columns != nullptr) columns->summarise(out + first * e.out, first, last);
    };
  }
  forward(pass, here, qx.along(1), qw.along(1), e, y, rows_done);

  auto backward = [=, &pass](const Tensor& g, Adjoints& grads) {
    const Quantized qg = pass.quantize(g, here, Role::gradient, {.range = grads.facts().range});
    if (grads.wants(x)) {
      Tensor gx = Tensor::uninitialized(e.input());
      RowsDone completed;
      if (const RowWatcher complete = grads.completing(x)) {
        completed = [=, out = gx.data()](std::int64_t first, std::int64_t last) {
          complete(first, last, out + first * e.in);
        };
      }
      grad_left(pass, here, qg.along(1), pass.tape[w], e, gx, completed);
      if (completed) {
        grads.add_complete(x, std::move(gx));
      } else {
        grads.add(x, std::move(gx));
      }
    }
    grads.add(w, grad_right(pass, here, qg.along(0), qx.along(0), e));
    if (b != w) grads.add(b, bias_gradient(g, pass.simd));
  };
  return pass.tape.record(std::move(y), {x, w, b}, std::move(backward),
                          {.range = std::nullopt, .columns = columns});
}

}  // namespace ebb
