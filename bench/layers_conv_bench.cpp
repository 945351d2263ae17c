// Convolutions as layers: encode, gather, product. "backward" computes both gradients,
// "grad_params" the weight's alone.
#include "layers/conv2d.h"
#include "layers/init.h"
#include "rows.h"

namespace {

using namespace ebb;

struct ConvShape {
  const char* name;
  std::int64_t batch, size, in, out, taps;
  ConvConfig config;
};

constexpr ConvShape kShapes[]{
    {"resnet20/stem", 128, 32, 3, 16, 3, {.pad = 1}},
    {"resnet20/stage1", 128, 32, 16, 16, 3, {.pad = 1}},
    {"resnet20/stage2/first", 128, 32, 16, 32, 3, {.stride = 2, .pad = 1}},
    {"resnet20/stage2/shortcut", 128, 32, 16, 32, 1, {.stride = 2}},
    {"resnet20/stage2", 128, 16, 32, 32, 3, {.pad = 1}},
    {"resnet20/stage3", 128, 8, 64, 64, 3, {.pad = 1}},
    {"resnet18/stem", 8, 224, 3, 64, 7, {.stride = 2, .pad = 3}},
    {"resnet18/stage1", 8, 56, 64, 64, 3, {.pad = 1}},
    {"resnet18/stage3", 8, 14, 256, 256, 3, {.pad = 1}},
    {"mobilenet/pointwise", 128, 16, 192, 64, 1, {}},
    {"mobilenet/depthwise", 128, 16, 192, 192, 3, {.pad = 1, .groups = 192}},
};

/// The kernel of its forward product, which depends on formats and strides but not on sizes.
std::string kernel_of(const ConvShape& s, Format format) {
  if (s.config.groups > 1) return "depthwise";
  const std::int64_t side = (8 + 2 * s.config.pad - s.taps) / s.config.stride + 1;
  const PatchGeometry g{.images = 1,
                        .height = 8,
                        .width = 8,
                        .channels = s.in,
                        .pixel_stride = s.in,
                        .out_height = side,
                        .out_width = side,
                        .taps_y = s.taps,
                        .taps_x = s.taps,
                        .step = s.config.stride,
                        .pad_top = s.config.pad,
                        .pad_left = s.config.pad,
                        .nominal_positions = side * side};
  const Tensor x = Tensor::filled({g.height * g.width, s.in}, 1.0f),
               w = Tensor::filled({s.out, g.cols()}, 1.0f);
  const auto encoded = [&](const Tensor& t, Granularity granularity) {
    return Operand(t.matrix(), {format}, granularity, Key(1));
  };
  const Site site{"conv"};
  return std::string(choose_kernel(encoded(x, Granularity::per_tensor).patches(g),
                                   encoded(w, Granularity::per_row).transposed(),
                                   {.site = site, .simd = best_simd()}));
}

const bool registered = [] {
  for (const ConvShape& s : kShapes) {
    for (const bool integer : {true, false}) {
      const auto params = std::make_shared<ParamStore>();
      const Shape weight{s.out, s.taps, s.taps, s.in / s.config.groups};
      const Conv2d conv = Conv2d::create(*params, "conv", he_init(weight, Key(1)), s.config);
      const std::int64_t side = (s.size + 2 * s.config.pad - s.taps) / s.config.stride + 1;
      const double positions = static_cast<double>(s.batch * side * side);
      const double ops = 2.0 * positions * static_cast<double>(weight.size());
      const double x = static_cast<double>(s.batch * s.size * s.size * s.in),
                   y = positions * static_cast<double>(s.out);
      const auto work = [&](double factor, double bytes) {
        return integer ? bench::Work{.int8_ops = factor * ops, .bytes = bytes}
                       : bench::Work{.float_ops = factor * ops, .bytes = bytes};
      };
      const Format format = integer ? Format::integer(8) : Format::fp32();
      bench::add_op_rows(concat(to_text(format), '/', s.name),
                         {.input = {s.batch, s.size, s.size, s.in},
                          .op = [conv](Pass& pass, Var image) { return conv(pass, image); },
                          .plan = PrecisionPlan::uniform(format, format),
                          .params = params,
                          .label = kernel_of(s, format)},
                         work(1, 4 * (x + y)), work(2, 4 * (x + y)), work(1, 4 * y));
    }
  }
  return true;
}();

}  // namespace
