#include "layers/convolution.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "layers/linear.h"
#include "quant/depthwise.h"

namespace ebb {
namespace {

ConvExtents extents_of(const Site& site, const ConvConfig& config, const Shape& x, const Shape& w) {
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
Tensor flipped_weights(const Tensor& w, const ConvExtents& e) {
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

/// Rows of the result are complete with their last group.
RowsDone after_last_group(const ConvExtents& e, std::int64_t group, const RowsDone& rows_done) {
  return group + 1 == e.config.groups ? rows_done : RowsDone{};
}

}  // namespace

PatchGeometry ConvExtents::input_patches() const {
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

// Input row i meets output row o through tap ky = i + pad - o stride; with ky counted from the
// other end, o = (i + ky' - (taps - 1 - pad)) / stride.
PatchGeometry ConvExtents::gradient_patches() const {
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

Convolution::Convolution(Pass& pass, const Conv2d& layer, Var x, Var w)
    : pass_(&pass),
      x_(x),
      w_(w),
      b_(layer.bias.index >= 0 ? pass.tape.parameter(layer.bias) : w_),
      e_(extents_of(layer.site, layer.config, pass.tape.shape(x), pass.tape.shape(w_))),
      here_(pass.visit(layer.site)),
      qx_(pass.quantize(x, here_, Role::activation, {.running_range = layer.input_range})) {}

std::vector<Var> Convolution::inputs() const {
  return has_bias() ? std::vector{x_, w_, b_} : std::vector{x_, w_};
}

void Convolution::show_depthwise(const Multiply& how, const Operand& images,
                                 const PatchGeometry& geometry, const Operand& other) const {
  if (pass_->observer == nullptr) return;
  const BatchedProduct all{images, other, {}};
  pass_->show(SeenProducts{how, {&all, 1}, &geometry});
}

// Blocks lie along patches, not along what they were gathered from: the patches are made, and
// encoded themselves.
Operand Convolution::patches(const Images& images, std::int64_t group,
                             const PatchGeometry& geometry) const {
  const std::int64_t first = group * geometry.channels;
  if (images.codes) {
    const Operand part = images.codes->columns(first, geometry.channels);
    return e_.pointwise() ? part : part.patches(geometry);
  }
  const Role role = images.role;
  const QuantizeOptions options{.step = static_cast<std::uint64_t>(group)};
  const ConstMatrix pixels = images.pixels->matrix();
  if (e_.pointwise())
    return pass_
        ->quantize(ConstMatrix{pixels.data + first, pixels.rows, geometry.channels, pixels.cols},
                   here_, role, options)
        .along(images.contracted, images.product);
  const Tensor gathered = patch_matrix(pixels.data + first, geometry);
  return pass_->quantize(gathered, here_, role, options)
      .along(images.contracted, images.product)
      .charged_for(geometry.nominal_positions);
}

Convolution::Images Convolution::images_of_x(int contracted, Product product) const {
  Images images{Role::activation, contracted, product, nullptr, std::nullopt};
  if (pass_->in_blocks(here_, Role::activation, product)) {
    images.pixels = &pass_->tape[x_];
  } else {
    images.codes = qx_.along(contracted, product);
  }
  return images;
}

Tensor Convolution::forward(ColumnBlocks* columns) const {
  Tensor y = Tensor::uninitialized(e_.output());
  const float* const bias = has_bias() ? pass_->tape[b_].data() : nullptr;
  RowsDone rows_done;
  if (columns != nullptr || bias != nullptr) {
    rows_done = [=, out = y.data(), n = e_.out](std::int64_t first, std::int64_t last) {
      if (bias != nullptr) add_bias({out + first * n, last - first, n, n}, bias);
      if (columns != nullptr) columns->summarise(out + first * n, first, last);
    };
  }
  const PatchGeometry geometry = e_.input_patches();
  const Operand qw =
      pass_->quantize(weight_rows(pass_->tape[w_]), here_, Role::weight).along(1, Product::forward);
  if (e_.depthwise()) {
    const Multiply how = pass_->how(here_, Product::forward, rows_done);
    const Operand qx = qx_.along(1, Product::forward);
    show_depthwise(how, qx, geometry, qw.transposed());
    depthwise_into(qx, geometry, qw.transposed(), how, pass_->ledger,
                   {y.data(), geometry.rows(), e_.out, e_.out});
    return y;
  }
  const Images images = images_of_x(1, Product::forward);
  for (std::int64_t group = 0; group < e_.config.groups; ++group) {
    pass_->multiply_into(patches(images, group, geometry),
                         qw.rows(group * e_.group_out, e_.group_out).transposed(), here_,
                         Product::forward,
                         {y.data() + group * e_.group_out, geometry.rows(), e_.group_out, e_.out},
                         after_last_group(e_, group, rows_done));
  }
  return y;
}

void Convolution::multiply_left(const Quantized& qg, const Tensor& g, Tensor& gx,
                                const RowsDone& rows_done) const {
  const Tensor flipped = flipped_weights(pass_->tape[w_], e_);
  const Operand qw = pass_->quantize(flipped, here_, Role::weight).along(0, Product::grad_left);
  const PatchGeometry geometry = e_.gradient_patches();
  if (e_.depthwise()) {
    const Multiply how = pass_->how(here_, Product::grad_left, rows_done);
    const Operand images = qg.along(1, Product::grad_left);
    show_depthwise(how, images, geometry, qw);
    return depthwise_into(images, geometry, qw, how, pass_->ledger,
                          {gx.data(), geometry.rows(), e_.in, e_.in});
  }
  Images images{Role::gradient, 1, Product::grad_left, &g, std::nullopt};
  if (!pass_->in_blocks(here_, Role::gradient, Product::grad_left))
    images.codes = qg.along(1, Product::grad_left);
  for (std::int64_t group = 0; group < e_.config.groups; ++group) {
    pass_->multiply_into(patches(images, group, geometry),
                         qw.columns(group * e_.group_in, e_.group_in), here_, Product::grad_left,
                         {gx.data() + group * e_.group_in, geometry.rows(), e_.group_in, e_.in},
                         after_last_group(e_, group, rows_done));
  }
}

Tensor Convolution::multiply_right(const Operand& qg) const {
  Tensor gw = Tensor::uninitialized({e_.out, e_.taps_y, e_.taps_x, e_.group_in});
  const PatchGeometry geometry = e_.input_patches();
  if (e_.depthwise()) {
    const Multiply how = pass_->how(here_, Product::grad_right);
    const Operand qx = qx_.along(0, Product::grad_right);
    show_depthwise(how, qx, geometry, qg);
    depthwise_grad_weight_into(qx, geometry, qg, how, pass_->ledger, gw.data());
    return gw;
  }
  const Images images = images_of_x(0, Product::grad_right);
  for (std::int64_t group = 0; group < e_.config.groups; ++group) {
    const std::int64_t first = group * e_.group_out;
    pass_->multiply_into(
        qg.columns(first, e_.group_out).transposed(), patches(images, group, geometry), here_,
        Product::grad_right,
        {gw.data() + first * geometry.cols(), e_.group_out, geometry.cols(), geometry.cols()});
  }
  return gw;
}

void Convolution::backward(const Tensor& g, const std::optional<Range>& range,
                           Adjoints& grads) const {
  const Quantized qg = pass_->quantize(g, here_, Role::gradient, {.range = range});
  if (grads.wants(x_)) {
    Tensor gx = Tensor::uninitialized(e_.input());
    RowsDone rows_done;
    if (const GradientSink sink = grads.sink(x_)) {
      rows_done = [sink, out = gx.data(), n = e_.in](std::int64_t first, std::int64_t last) {
        sink(first, last, out + first * n);
      };
    }
    multiply_left(qg, g, gx, rows_done);
    grads.add(x_, std::move(gx));
  }
  grads.add(w_, multiply_right(qg.along(0, Product::grad_right)));
  if (has_bias()) grads.add(b_, bias_gradient(g, pass_->simd));
}

}  // namespace ebb
