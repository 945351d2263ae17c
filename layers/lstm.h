#pragma once

#include <cstdint>

#include "layers/linear.h"
#include "layers/pass.h"

namespace ebb {

/// What an LSTM carries from window to window, for every stream. Gradients flow through it.
struct LstmState {
  Var hidden{}, cell{};  ///< [streams, units]
};

/// One layer of long short-term memory over a window of time, x [time * streams, in] to h [time *
/// streams, units], laid out by time:
///
/// | (zi, zf, zg, zo) = x_t Wx^T + b + h_(t-1) Wh^T
/// | i, f, o = logistic(z), g = tanh(zg)
/// | c_t = f c_(t-1) + i g,  h_t = o tanh(c_t)
///
/// The four gates are one product on either side: Wx [4 units, in] at the site `NAME.input`, a
/// Linear over the whole window, and Wh [4 units, units] at `NAME.hidden`, step by step. There,
/// h_(t-1) and the gradient of z_t have a grid of their own each step in the products of that step;
/// Wh is encoded once per window for either direction. For the gradient of Wh, all h_(t-1) and all
/// gradients of z are encoded anew on one grid each, so that it is one product over time and
/// streams. The gradient goes on into the state that the window began with; where that is a
/// constant, as in truncated backpropagation, it stops there (its last grad_left, that of h_0, is
/// computed and charged all the same).
struct Lstm {
  Linear input;
  Site hidden;
  ParamId weight, range;  ///< Wh, and the running range of h

  /// Weights and the bias of the input product start uniform over +-1 / sqrt(units).
  /// @throws ConfigError unless in, units >= 1
  static Lstm create(ParamStore& params, const std::string& name, std::int64_t in,
                     std::int64_t units, Key key);

  /// Begins at `state` and leaves the state after the window in it.
  /// @throws ShapeError unless x is [time * streams, in] for the streams of the state
  Var operator()(Pass& pass, Var x, LstmState& state) const;
};

}  // namespace ebb
