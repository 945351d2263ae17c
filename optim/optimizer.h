#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/params.h"
#include "core/tape.h"

namespace ebb {

/// All optimizers move float32 master parameters by float32 operations in the stated order; their
/// whole state is public data. `Slots` holds one tensor a ParamId, empty until that parameter's
/// first gradient. A parameter without gradient stays as it is.
using Slots = std::vector<Tensor>;

/// Stochastic gradient descent with momentum:  d = g + weight_decay w;  v = momentum v + d;  w = w
/// - rate v. Weight decay reaches every parameter, biases and batch norm included, as in PyTorch
/// and the CPT recipe.
struct Sgd {
  struct Config {
    double momentum = 0.9;
    double weight_decay = 0;
    friend bool operator==(const Config&, const Config&) = default;
  } config;
  Slots velocity;
};

/// Adam:  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = w - rate / (1 - b1^t) m / (sqrt(v)
/// / sqrt(1 - b2^t) + epsilon) with g + weight_decay w in place of g, or, decoupled (AdamW), after
/// w = w - rate weight_decay w. Sources: Kingma & Ba, ICLR 2015; Loshchilov & Hutter, ICLR 2019;
/// order of operations as in PyTorch.
struct Adam {
  struct Config {
    double beta1 = 0.9, beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;
    bool decoupled = false;
    friend bool operator==(const Config&, const Config&) = default;
  } config;
  std::uint64_t steps = 0;  ///< taken so far
  Slots first, second;      ///< running means of gradients and of their squares
};

/// One of the optimizers with its state.
struct Optimizer {
  std::variant<Sgd, Adam> kind;

  /// Moves the parameters once. `rate` is the learning rate of this iteration.
  /// @throws ShapeError unless every gradient has its parameter's shape, ConfigError for settings
  /// out of range or a rate that is negative, infinite or NaN; nothing has changed then.
  /// NonFiniteError naming the parameter whose update overflowed: parameters and state are lost
  /// then
  void step(ParamStore& params, const Gradients& gradients, double rate);
  /// The same with a rate for each entry of the store. A parameter at rate 0 stays as it is, while
  /// its momentum goes on.
  /// @throws ShapeError also unless there are as many rates as entries
  void step(ParamStore& params, const Gradients& gradients, std::span<const double> rates);

  struct NamedTensor {
    std::string name;  ///< "velocity/<parameter>", "first/<parameter>", "second/<parameter>"
    Tensor value;
    friend bool operator==(const NamedTensor&, const NamedTensor&) = default;
  };
  /// The whole state as named tensors and a counter of steps (0 where the optimizer has none), for
  /// checkpoints.
  struct State {
    std::vector<NamedTensor> tensors;
    std::uint64_t steps = 0;
    friend bool operator==(const State&, const State&) = default;
  };
  [[nodiscard]] State save(const ParamStore& params) const;
  /// @throws DataError for a tensor that this optimizer has no place for; the state is unchanged
  /// then
  void restore(const ParamStore& params, State state);
};

/// What can be set from outside; what an optimizer has no use for must stay at its default.
struct OptimizerConfig {
  double momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
};
/// "sgd", "adam", "adamw".
const std::vector<std::string>& optimizer_names();
/// @throws ConfigError for an unknown name, settings that this optimizer has no use for, or
/// settings out of range: 0 <= momentum, beta < 1, epsilon > 0, weight_decay >= 0
Optimizer make_optimizer(std::string_view name, const OptimizerConfig& config);

}  // namespace ebb
