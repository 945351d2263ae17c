#pragma once

#include <cstdint>
#include <optional>

#include "layers/pass.h"

namespace ebb {

struct ConvConfig {
  std::int64_t stride = 1;
  std::int64_t pad = 0;  ///< zeros on every side
  std::int64_t groups =
      1;  ///< equal to the number of input and of output channels: depthwise, all channels at once
};

/// 2-D convolution of images [batch, height, width, in] with weights [out, taps_y, taps_x, in /
/// groups] and an optional bias [out]: y [batch, out_height, out_width, out], out_height =
/// floor((height + 2 pad - taps_y) / stride) + 1. Group i of the outputs sees group i of the
/// inputs.
///
/// Every product is one of a patch matrix (im2col), whether or not it is made in memory, of the
/// codes of a tensor that was encoded once; padded taps are exact zeros.
/// | forward      patches(x) w^T          contracted over taps x in; x one grid, w one grid per
/// |                                      output channel
/// | grad_left    patches(g) flipped(w)   contracted over taps x out; g one grid, encoded once for
/// |                                      both products; w one grid per input channel
/// | grad_right   g^T patches(x)          contracted over batch x positions, on the codes of x that
/// |                                      the forward product used
///
/// In block formats, whose blocks lie along patches, the patches are made and encoded instead, for
/// each product by itself.
///
/// Each is charged the forward product's nominal MACs. The bias is treated as in Linear.
struct Conv2d {
  Site site;
  ParamId weight, bias, input_range;  ///< bias has index -1 if there is none
  ConvConfig config;

  /// Adds "<site>.weight", "<site>.bias" and the running range of the input to the store.
  /// @throws ConfigError for stride < 1, pad < 0, groups < 1 or outputs that are no multiple of
  /// groups; ShapeError for weights or bias of another shape
  static Conv2d create(ParamStore& params, Site site, Tensor weight, ConvConfig config,
                       std::optional<Tensor> bias = std::nullopt);

  /// @throws ShapeError unless x is [batch, height, width, in] and the kernel fits into the padded
  /// image
  Var operator()(Pass& pass, Var x) const { return with(pass, x, pass.tape.parameter(weight)); }
  /// The same with other weights of the same shape.
  Var with(Pass& pass, Var x, Var w) const;
};

}  // namespace ebb
