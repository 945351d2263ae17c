#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/hyperparameters.h"
#include "core/key.h"
#include "core/params.h"
#include "core/tape.h"
#include "optim/rule.h"

namespace ebb {

/// An optimizer with its state, all of which is public data. It updates float32 master parameters;
/// a parameter without gradient stays as it is.
struct Optimizer {
  /// Stochastic gradient descent.
  Optimizer();
  /// @throws ConfigError for a hyperparameter that the rule does not have, or one out of range
  explicit Optimizer(const OptimizerRule& row, const NamedNumbers& given = {});

  const OptimizerRule* rule;
  NamedNumbers hyperparameters;  ///< all of the rule's, in its order
  std::uint64_t steps = 0;       ///< taken so far, by rules that count them
  /// By slot of the rule, then by ParamId; empty until that parameter's first gradient.
  std::vector<std::vector<Tensor>> slots;

  /// Updates the parameters once. `rate` is the learning rate of this iteration, `key` what
  /// rules that draw (OptimizerRule::draws) draw from: each iteration has its own.
  /// @throws ShapeError unless every gradient has its parameter's shape, ConfigError for
  /// hyperparameters out of range, a rate that is negative, infinite or NaN, or no key for a rule
  /// that draws; nothing has changed then. NonFiniteError naming the parameter whose update
  /// overflowed: parameters and state are lost then
  void step(ParamStore& params, const Gradients& gradients, double rate,
            std::optional<Key> key = std::nullopt);
  /// The same with a rate for each entry of the store. A parameter at rate 0 stays as it is, while
  /// its momentum goes on.
  /// @throws ShapeError also unless there are as many rates as entries
  void step(ParamStore& params, const Gradients& gradients, std::span<const double> rates,
            std::optional<Key> key = std::nullopt);

  struct NamedTensor {
    std::string name;  ///< "SLOT/PARAMETER"
    Tensor value;
    friend bool operator==(const NamedTensor&, const NamedTensor&) = default;
  };
  /// The whole state as named tensors and the count of steps, for checkpoints.
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

/// The names of optimizer_rules().
std::vector<std::string> optimizer_names();
/// The rule of that name. @throws ConfigError for an unknown one, with the nearest known
const OptimizerRule& find_optimizer(std::string_view name);
/// make_optimizer("adamw", {{"weight_decay", 0.01}}). @throws ConfigError as find_optimizer and
/// Optimizer
Optimizer make_optimizer(std::string_view name, const NamedNumbers& hyperparameters = {});

}  // namespace ebb
