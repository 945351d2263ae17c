#pragma once

#include <cstdint>
#include <string>

#include "layers/linear.h"
#include "layers/pass.h"

namespace ebb {

/// One layer of gated recurrent units over a window of time, x [time * streams, in] to h [time *
/// streams, units], laid out by time, in PyTorch's definition and order of gates:
///
/// | (ar, az, an) = x_t Wx^T + bx,  (cr, cz, cn) = h_(t-1) Wh^T + bh
/// | r, z = logistic(ar + cr), logistic(az + cz),  n = tanh(an + r cn)
/// | h_t = (1 - z) n + z h_(t-1)
///
/// The three gates are one product on either side: Wx [3 units, in] at the site `NAME.input`, a
/// Linear over the whole window, and Wh [3 units, units] with bh [3 units] at `NAME.hidden`, step
/// by step. There, h_(t-1) and the gradient of c have a grid of their own each step in the products
/// of that step; Wh is encoded once per window for either direction. For the gradient of Wh, all
/// h_(t-1) and all gradients of c are encoded anew on one grid each, so that it is one product over
/// time and streams. The gradient goes on into h_0; where that is a constant it stops there (its
/// last grad_left is computed and charged all the same). Source: Cho et al., "Learning phrase
/// representations using RNN encoder-decoder", 2014, with r applied after the product.
struct Gru {
  Linear input;
  Site hidden;
  ParamId weight, bias, range;  ///< Wh, bh, and the running range of h

  /// Weights and both biases start uniform over +-1 / sqrt(units).
  /// @throws ConfigError unless in, units >= 1
  static Gru create(ParamStore& params, const std::string& name, std::int64_t in,
                    std::int64_t units, Key key);

  /// Begins at h_0 = `state` [streams, units] and leaves the last h in it.
  /// @throws ShapeError unless x is [time * streams, in] for the streams of the state
  Var operator()(Pass& pass, Var x, Var& state) const;
};

}  // namespace ebb
