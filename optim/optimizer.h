#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/hyperparameters.h"
#include "core/key.h"
#include "core/params.h"
#include "core/tape.h"
#include "optim/rule.h"
#include "optim/state_tensor.h"
#include "optim/update_quality.h"

namespace ebb {

/// An optimizer with its state, all of which is public data. It updates the float32 parameters of a
/// store, which rules with weights of few bits keep to numbers of their format; a parameter without
/// gradient stays as it is.
struct Optimizer {
  /// Stochastic gradient descent.
  Optimizer();
  /// @throws ConfigError for a hyperparameter that the rule does not have, or one out of range
  /// or for formats that the rule cannot have
  explicit Optimizer(const OptimizerRule& row, const NamedNumbers& given = {},
                     const std::optional<StateFormats>& formats = std::nullopt);

  const OptimizerRule* rule;
  NamedNumbers hyperparameters;  ///< all of the rule's, in its order
  std::uint64_t steps = 0;       ///< taken so far, by rules that count them
  /// By slot of the rule, then by ParamId; empty until that parameter's first gradient, or begin().
  std::vector<std::vector<StateTensor>> slots;
  StateFormats formats;     ///< by role, of rules that have roles
  Simd simd = best_simd();  ///< never changes a result

  /// Rounds the parameters that have no state yet to the weights' format, and gives masters what
  /// they were before. step() does this too; called first, the first pass sees rounded weights.
  void begin(ParamStore& params);

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
  /// With `quality` it also measures how much of the intended updates was made, by parameter.
  void step(ParamStore& params, const Gradients& gradients, std::span<const double> rates,
            std::optional<Key> key = std::nullopt, std::vector<UpdateQuality>* quality = nullptr);

  /// Bytes that each role takes for one parameter: weight, gradient, moments, residuals, master. A
  /// device would need them; here weights and gradients are float32 whatever their numbers.
  [[nodiscard]] std::vector<std::pair<StateRole, double>> bytes_per_parameter() const;
  /// What the user should know of these hyperparameters and formats together, a sentence each.
  [[nodiscard]] std::vector<std::string> warnings() const;
  [[nodiscard]] Format format_of(const Slot& slot) const;

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

 private:
  /// Makes the state of the parameter in that place, unless it has one.
  void prepare(ParamStore& params, std::size_t place);
};

/// The names of optimizer_rules().
std::vector<std::string> optimizer_names();
/// The rule of that name. @throws ConfigError for an unknown one, with the nearest known
const OptimizerRule& find_optimizer(std::string_view name);
/// make_optimizer("adamw", {{"weight_decay", 0.01}}). @throws ConfigError as find_optimizer and
/// Optimizer
Optimizer make_optimizer(std::string_view name, const NamedNumbers& hyperparameters = {});

}  // namespace ebb
