#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/hyperparameters.h"
#include "core/key.h"
#include "quant/formats/format.h"

namespace ebb {

/// What an optimizer keeps for every element of a parameter, beginning with zeros: a running mean,
/// a momentum. After each step it is rounded to its format, fp32 or one with a codec, and held as
/// the float32 of that value.
struct Slot {
  std::string_view name{};  ///< in checkpoints: "NAME/PARAMETER"
  Format format = Format::fp32();
  Rounding rounding = Rounding::nearest_even;
};

/// Some elements of one parameter in one step; the elements are divided among threads.
struct Update {
  std::uint64_t t;  ///< number of the step, from 1; 0 of rules that do not count
  double rate;      ///< learning rate of this parameter
  Key key;          ///< of this step and parameter
  std::uint64_t
      first;  ///< place of the first element in the parameter: element j draws at first + j
  std::int64_t size;
  const float* g;
  float* w;
  std::span<float* const> slots;  ///< in the order of the rule
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
};

/// The rules there are: sgd, adam, adamw.
std::span<const OptimizerRule* const> optimizer_rules();

}  // namespace ebb
