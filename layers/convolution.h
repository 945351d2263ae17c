#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/range.h"
#include "core/sums.h"
#include "layers/conv2d.h"
#include "quant/patches.h"

namespace ebb {

/// The extents of one application of a convolution.
struct ConvExtents {
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
  [[nodiscard]] PatchGeometry input_patches() const;
  /// The same of the output's gradient; positions are input pixels.
  [[nodiscard]] PatchGeometry gradient_patches() const;
};

/// One application of a convolution to a value on the tape, both directions: what Conv2d and
/// ConvNorm record.
class Convolution {
 public:
  /// Quantizes x, to multiply it by the layer's weights or by others. @throws as Conv2d
  Convolution(Pass& pass, const Conv2d& layer, Var x)
      : Convolution(pass, layer, x, pass.tape.parameter(layer.weight)) {}
  Convolution(Pass& pass, const Conv2d& layer, Var x, Var w);

  [[nodiscard]] const ConvExtents& extents() const { return e_; }
  /// The values from which the result is computed.
  [[nodiscard]] std::vector<Var> inputs() const;
  /// The result, whose columns are summarised, if that is wanted, while they are in cache.
  [[nodiscard]] Tensor forward(ColumnBlocks* columns = nullptr) const;
  /// Adds the gradients of the inputs, from that of the result, whose range may be known.
  void backward(const Tensor& g, const std::optional<Range>& range, Adjoints& grads) const;

 private:
  [[nodiscard]] bool has_bias() const { return b_ != w_; }
  /// An image tensor on its way into a product that contracts an axis of its patches: its codes, or
  /// its pixels where patches are encoded in blocks.
  struct Images {
    Role role;
    int contracted;
    Product product;
    const Tensor* pixels;
    std::optional<Operand> codes;
  };
  [[nodiscard]] Images images_of_x(int contracted, Product product) const;
  /// One group's columns of it as a patch matrix.
  [[nodiscard]] Operand patches(const Images& images, std::int64_t group,
                                const PatchGeometry& geometry) const;
  void multiply_left(const Quantized& qg, const Tensor& g, Tensor& gx,
                     const RowsDone& rows_done) const;
  [[nodiscard]] Tensor multiply_right(const Operand& qg) const;
  void show_depthwise(const Multiply& how, const Operand& images, const PatchGeometry& geometry,
                      const Operand& other) const;

  Pass* pass_;
  Var x_, w_, b_;  ///< b is w if there is no bias
  ConvExtents e_;
  Site here_;
  Quantized qx_;
};

}  // namespace ebb
