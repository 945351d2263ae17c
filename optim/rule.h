#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/hyperparameters.h"
#include "core/key.h"
#include "core/simd.h"
#include "quant/formats/format.h"

namespace ebb {

/// What the numbers of a training are for, where their formats can be chosen apart.
enum class StateRole : std::uint8_t { weight, gradient, moment, residual, master };
inline constexpr std::string_view kStateRoles[] = {"weights", "gradients", "moments", "residuals",
                                                   "masters"};

/// Formats by role.
struct StateFormats {
  Format weight{}, gradient{}, moment{}, residual{}, master{};

  [[nodiscard]] constexpr Format& of(StateRole role) {
    Format* const all[] = {&weight, &gradient, &moment, &residual, &master};
    return *all[static_cast<std::size_t>(role)];
  }
  [[nodiscard]] constexpr Format of(StateRole role) const { return StateFormats(*this).of(role); }
  friend constexpr bool operator==(const StateFormats&, const StateFormats&) = default;
};

/// What an optimizer keeps for every element of a parameter, beginning with zeros: a running mean,
/// a momentum. After each step it is rounded to its format, fp32 or one with a codec, and held in
/// the bytes that this needs.
struct Slot {
  std::string_view name{};  ///< in checkpoints: "NAME/PARAMETER"
  Format format = Format::fp32();
  Rounding rounding = Rounding::nearest_even;
  /// Its format is that of this role in place of `format`. A master begins with the weights.
  std::optional<StateRole> role{};
};
/// The slot of the weights' rounding residual (as in Kahan summation), in rules that have one.
inline constexpr std::string_view kWeightResidual = "weight_residual";

/// Some elements of one parameter in one step; the elements are divided among threads.
struct Update {
  std::uint64_t t;  ///< number of the step, from 1; 0 of rules that do not count
  double rate;      ///< learning rate of this parameter
  Key key;          ///< of this step and parameter
  std::uint64_t
      first;  ///< place of the first element in the parameter: element j uses counter first + j
  std::int64_t size;
  const float* g;
  float* w;
  std::span<float* const> slots;  ///< in the order of the rule
  const StateFormats& formats;
  Simd simd;
  /// Where rules that tell their updates write what is to be added to w, before any rounding of
  /// that sum; else null.
  float* intended = nullptr;
};

/// An optimizer: a row of optimizer_rules(). Saving, restoring, --optimizer and its check read the
/// table, so another optimizer is a file and a row.
struct OptimizerRule {
  std::string_view name{};
  std::span<const Hyperparameter> hyperparameters{};
  std::span<const Slot> slots{};
  bool counts_steps = false;  ///< whether a step depends on how many there were
  bool draws = false;         ///< whether its step draws from the key
  /// Moves w and the slots by float32 operations in the stated order, each element by itself.
  /// Hyperparameters are in range. False if it wrote an infinity or a NaN.
  bool (*step)(const NamedNumbers& hyperparameters, const Update& update) = nullptr;
  bool tells_update = false;  ///< whether it writes Update::intended
  StateFormats formats{};     ///< unless others are chosen; of all fp32 none can be
  Rounding weight_rounding = Rounding::nearest_even;  ///< stochastic: of weights, after the step
  /// What is to be known of hyperparameters and formats that do not go well together, a sentence
  /// each. @throws ConfigError if they do not go together
  std::vector<std::string> (*check)(const NamedNumbers& hyperparameters,
                                    const StateFormats& formats) = nullptr;
};

/// The rules there are: sgd, adam, adamw, and those with state in low precision.
std::span<const OptimizerRule* const> optimizer_rules();

}  // namespace ebb
