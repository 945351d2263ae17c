#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/hyperparameters.h"

namespace ebb {

/// What a run tells its controllers.
struct Observation {
  enum class Event : std::uint8_t {
    update,  ///< of the parameters: "loss" of its batch, "learning_rate", "accuracy" where there
             ///< are labels; "gnorm1" and "gnorm2", the norms of the gradients before clipping,
             ///< where a controller asks for them
    evaluation,  ///< during training: "loss" and the scores of the monitored split
    skipped      ///< an update that was left out since its gradients had overflowed
  };
  Event event = Event::update;
  std::int64_t updates = 0;  ///< done so far
  NamedNumbers numbers{};
};

/// What a metric names: train_NAME is the NAME of an update, val_NAME that of an evaluation, gnorm1
/// and gnorm2 are of an update. Nothing where the observation does not tell it.
std::optional<double> metric_of(const Observation& observation, std::string_view metric);

/// What a controller remembers: a number by name.
struct ControllerState {
  std::string_view name{};
  double initial{};
  bool count = false;  ///< a checkpoint holds it as an integer
};

/// A word that a controller is told: one of the choices or, without any, the name of a metric.
struct ControllerWord {
  std::string_view name{}, default_value{};
  std::span<const std::string_view> choices{};
};

struct Controller;

/// A rule by which a setting follows what the run measures: a row of controller_rules(). The text
/// form of schedules, the loop, checkpoints, the command line and its help read the table, so
/// another controller is a file and a row.
struct ControllerRule {
  std::string_view name{};    ///< in the text of schedules and in checkpoints
  std::string_view option{};  ///< on the command line: --OPTION X is its first hyperparameter and
                              ///< switches it on, a factor of the learning rate; --OPTION-NAME X
                              ///< are the others. Empty: it stands in schedules only
  std::string_view help{};    ///< of the option
  std::span<const Hyperparameter> hyperparameters{};
  std::span<const ControllerState> state{};
  void (*observe)(Controller&, const Observation&) = nullptr;
  double (*value)(const Controller&) = nullptr;
  std::span<const ControllerWord> words{};
  std::size_t required = 0;  ///< how many of the hyperparameters a text must give
  bool list = false;         ///< has a list of values in place of hyperparameters
  bool series = false;       ///< keeps a series of numbers, too
};

/// All there are.
std::span<const ControllerRule* const> controller_rules();

/// A controller of a run, all of it public data.
struct Controller {
  /// @throws ConfigError for a hyperparameter or a word that the rule does not have, or one out of
  /// range. Words that are left out are their defaults
  explicit Controller(const ControllerRule& row, const NamedNumbers& given = {},
                      std::vector<std::string> given_words = {},
                      std::vector<double> given_values = {});

  const ControllerRule* rule;
  NamedNumbers hyperparameters, state;  ///< all of the rule's, in its order
  std::vector<std::string> words;       ///< all of the rule's, in its order
  std::vector<double> values{};         ///< the list that it was given
  std::vector<double> series{};         ///< what it has seen or done so far

  void observe(const Observation& observation);
  [[nodiscard]] double value() const;
  /// What it watches; "" if nothing.
  [[nodiscard]] std::string_view metric() const;
  /// The metric in an observation, if it is there and a number; one that is NaN is counted as
  /// "ignored".
  std::optional<double> seen(const Observation& observation);

  /// The state for checkpoints: the bits of its numbers, the integers of its counts, then the bits
  /// of its series.
  [[nodiscard]] std::vector<std::uint64_t> save() const;
  /// Numbers that an earlier version did not write begin anew. @throws DataError for none, or more
  /// than the rule has; the state is unchanged then
  void restore(std::span<const std::uint64_t> saved);
};

/// The rule of that name. @throws ConfigError for an unknown one, with the nearest known
const ControllerRule& find_controller(std::string_view name);
/// make_controller("plateau", {{"factor", 0.5}}). @throws ConfigError as find_controller and
/// Controller
Controller make_controller(std::string_view name, const NamedNumbers& hyperparameters = {});

/// The values of controllers, as a bound schedule reads them.
std::vector<double> readings_of(std::span<const Controller> controllers);

/// Decides that the next phase, or another one, begins after so many updates; the decision is part
/// of the state. @throws ConfigError unless the controller is one of phases and has that one
void set_phase(Controller& controller, std::int64_t phase, std::int64_t updates);

}  // namespace ebb
