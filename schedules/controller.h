#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/hyperparameters.h"

namespace ebb {

/// What a run tells its controllers.
struct Observation {
  enum class Event : std::uint8_t {
    update,     ///< of the parameters: "loss" of its batch, "learning_rate"
    evaluation  ///< during training: "loss" and the scores of the first split
  };
  Event event = Event::update;
  std::int64_t updates = 0;  ///< done so far
  NamedNumbers numbers{};
};

/// What a controller remembers: a number by name.
struct ControllerState {
  std::string_view name{};
  double initial{};
  bool count = false;  ///< a checkpoint holds it as an integer
};

/// A rule by which the learning rate follows what the run measures: a row of controller_rules().
/// The loop, checkpoints, the command line and its help read the table, so another controller is a
/// file and a row.
struct ControllerRule {
  std::string_view name{};    ///< in checkpoints
  std::string_view option{};  ///< on the command line: --OPTION X is its first hyperparameter and
                              ///< switches it on, --OPTION-NAME X are the others
  std::string_view help{};    ///< of the option
  std::span<const Hyperparameter> hyperparameters{};
  std::span<const ControllerState> state{};
  void (*observe)(const NamedNumbers& hyperparameters, NamedNumbers& state,
                  const Observation& observation) = nullptr;
  /// The factor of the scheduled learning rate.
  double (*value)(const NamedNumbers& hyperparameters, const NamedNumbers& state) = nullptr;
};

/// The rules there are: plateau.
std::span<const ControllerRule* const> controller_rules();

/// A controller of a run, all of it public data.
struct Controller {
  /// @throws ConfigError for a hyperparameter that the rule does not have, or one out of range
  explicit Controller(const ControllerRule& row, const NamedNumbers& given = {});

  const ControllerRule* rule;
  NamedNumbers hyperparameters, state;  ///< all of the rule's, in its order

  void observe(const Observation& observation);
  [[nodiscard]] double value() const;

  /// The state for checkpoints: the bits of its numbers, the integers of its counts.
  [[nodiscard]] std::vector<std::uint64_t> save() const;
  /// Numbers that an earlier version did not write begin anew. @throws DataError for none, or more
  /// than the rule has; the state is unchanged then
  void restore(std::span<const std::uint64_t> words);
};

/// The rule of that name. @throws ConfigError for an unknown one, with the nearest known
const ControllerRule& find_controller(std::string_view name);
/// make_controller("plateau", {{"factor", 0.5}}). @throws ConfigError as find_controller and
/// Controller
Controller make_controller(std::string_view name, const NamedNumbers& hyperparameters = {});

}  // namespace ebb
