#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/hyperparameters.h"
#include "core/key.h"
#include "core/params.h"
#include "core/tape.h"
#include "core/text.h"
#include "layers/pass.h"
#include "layers/probe.h"
#include "optim/optimizer.h"
#include "quant/ledger.h"
#include "quant/plan.h"
#include "schedules/controller.h"
#include "train/checkpoint.h"
#include "train/knobs.h"
#include "train/loss_scale.h"
#include "train/record.h"

namespace ebb::train {

/// A score by name, such as accuracy.
struct Metric {
  std::string name{};
  bool lower_is_better = false;
};

/// What an evaluation comes to.
struct Scores {
  std::int64_t examples = 0;  ///< what losses are means over: images, tokens, nodes
  double loss = 0;
  NamedNumbers values{};  ///< by metric; that of the task is one of them
};

/// Scores one split once: gathers what it needs piece by piece, since not every score is a mean.
struct Scorer {
  std::function<void(Pass&, std::int64_t piece)> add{};
  std::function<Scores()> result{};  ///< once all pieces are in
};

/// Examples that are scored together, in pieces that fit the memory; piece i is always the same.
struct Split {
  std::string name{};  ///< "validation" or "test"
  std::int64_t pieces = 0;
  std::function<Scorer()> begin{};
};

/// Scores a file that somebody brings, piece by piece like a split, which comes to rows of a table.
struct FileScorer {
  std::int64_t pieces = 0;
  std::function<void(Pass&, std::int64_t piece)> add{};
  std::function<std::vector<std::vector<std::string>>()> rows{};  ///< once all pieces are in
};

/// What a language model wrote.
struct Generated {
  std::vector<std::int32_t> prompt{}, tokens{};  ///< ids of what it began with and of what it added
  std::string text{};                            ///< what both spell
};

/// The entry of Task::data that identifies what token ids mean.
inline constexpr std::string_view kVocabularyEntry = "vocabulary";

/// The loss of a micro-batch, a scalar on the pass's tape, and what else is known of it.
struct BatchLoss {
  Var value;
  std::optional<double> accuracy{};     ///< share of the examples whose label is predicted, if they
                                        ///< have labels
  NamedNumbers settings{};              ///< factors of the loss that follow schedules, by name
  BatchLoss(Var loss) : value(loss) {}  // NOLINT(google-explicit-constructor): most are only that
};

/// What the loop knows of a network and its data: images, tokens or graphs stay behind these
/// functions. All of them are pure functions of their arguments, the parameters, the pass and the
/// settings, which the loop sets between passes alone.
struct Task {
  Metric metric{"accuracy"};  ///< the scorers' value that results are reported by
  std::int64_t steps_per_epoch = 1;
  /// Examples in each micro-batch of step t; more than one when gradients are accumulated.
  std::function<std::vector<std::int64_t>(std::int64_t t)> parts{};
  /// Mean loss over a micro-batch of step t.
  std::function<BatchLoss(Pass&, std::int64_t t, std::int64_t part)> loss{};
  /// The first is scored during training, all of them at the end.
  std::vector<Split> splits{};
  /// The loss of one example of a kind, without the data: what shapes and costs are counted by. One
  /// kind, 0, where all examples cost the same.
  std::function<Var(Pass&, std::int64_t kind)> example{};
  struct Examples {
    std::int64_t kind = 0, count = 1;
  };
  /// What step t costs: so many examples of these kinds. Absent: those of its parts, of kind 0.
  std::function<std::vector<Examples>(std::int64_t t)> kinds{};
  std::string unit = "one example";  ///< what example() of kind 0 is of
  /// What knobs may turn: of the network and of its loss.
  std::vector<TaskSetting> settings{};
  /// Writes a text as the options say, if the network can; the pass says at which precision.
  std::function<Generated(Pass&)> generate{};
  /// Opens a file to be scored, and the heading of the table that it comes to; absent where the
  /// network has no use for files.
  std::function<FileScorer(const std::string& path)> open_file{};
  std::vector<std::string> file_columns{};
  /// Scores that results are to be read beside, such as {"test_majority_accuracy", 0.34}.
  NamedNumbers baselines{};
  /// What identifies the data, for the record: names and texts.
  KeyValues data{};
  /// What a run keeps so that it can be used without the data: names of files and what is in them.
  KeyValues files{};
};

/// Everything that a step changes, and so everything that a checkpoint holds.
struct RunState {
  ParamStore params{};
  Optimizer optimizer{};
  CostLedger ledger{};                    ///< of training
  CostLedger evaluation_ledger{};         ///< of evaluations, which no cost of training includes
  CostLedger search_ledger{};             ///< of the probes of a search, which none includes either
  std::vector<Controller> controllers{};  ///< the learning rate is multiplied by their values
  std::vector<Knob> knobs{};              ///< in place of the settings of these names
  std::optional<LossScale> loss_scale{};
  std::int64_t iteration = 0;   ///< optimizer steps done
  bool evaluation_due = false;  ///< the evaluation that follows them is still to be done
};

/// @throws NonFiniteError for a parameter or a layer state with an infinity or a NaN
Checkpoint to_checkpoint(const RunState& state, std::string config);
/// @throws DataError if the checkpoint belongs to another network, optimizer or schedule
void restore(RunState& state, const Checkpoint& checkpoint);

/// How to run: pure functions of the iteration, and when to evaluate, save, measure and stop.
struct LoopSettings {
  std::int64_t iterations = 0;
  Key key{0};
  std::function<PrecisionPlan(std::int64_t t)> plan{};
  std::function<double(std::int64_t t)> rate{};  ///< before the controllers' factors
  /// The rate of each entry of the store, in place of `rate`, if they differ; `rate` is what the
  /// record says.
  std::function<std::vector<double>(std::int64_t t)> rates{};
  std::optional<PrecisionPlan>
      evaluation_plan{};         ///< none: that of the last update, plan(t - 1) after t updates
  std::optional<double> clip{};  ///< largest global norm of the gradients
  std::int64_t eval_every = 1, save_every = 1;
  std::optional<std::int64_t> leave_before{};  ///< stop before this step, nothing being saved
  std::optional<std::int64_t> statistics_every{};
  std::optional<std::int64_t> update_metrics_every{};
  std::int64_t probe_every = 1;
  Probe probe{};  ///< what is asked of a step then, if it has formats
  Simd simd = Simd::scalar;
  /// Told the score of the monitored split at every evaluation; true ends the run with it, and
  /// all splits are scored then. A pure function of that row and of the evaluations before it.
  std::function<bool(const EvalRow&)> enough{};
  /// Looked at after every step and every piece of an evaluation; nonzero saves and leaves.
  const volatile std::sig_atomic_t* stop = nullptr;
};

/// What the loop reports; any may be empty.
struct LoopEvents {
  std::function<void(const StepRow&)> step{};
  std::function<void(const Split&, std::int64_t done)> piece{};  ///< before each of an evaluation
  std::function<void(const EvalRow&)> evaluation{};
  std::function<void(const RunState&)> evaluated{};  ///< after the rows of one evaluation
  std::function<void(const RunState&)> save{};
  std::function<void(std::int64_t t, const std::vector<OperandQuality>&)> statistics{};
  /// Of every parameter, see LoopSettings::update_metrics_every.
  std::function<void(std::int64_t t, const std::vector<UpdateQuality>&)> updates{};
  /// What the settings' probe found, in Measurements::probed and sums.
  std::function<void(std::int64_t t, const Measurements&)> probe{};
};

enum class Outcome : std::uint8_t { finished, ended_early, stopped };

/// Runs from state.iteration to settings.iterations; a run's first parameters become numbers of the
/// optimizer's formats (Optimizer::begin). After a step come its checkpoint, the look at
/// `stop` and its evaluation; the last step is always saved, evaluated on all splits and saved
/// again; so is a step after whose evaluation the settings have `enough`. An evaluation that `stop`
/// ends leaves no trace: it is due when the run goes on, and done first then.
/// With a dynamic loss scale a step whose gradients overflow is tried again at the next scale, with
/// the same batch and keys; every attempt is charged.
/// A knob that searches does so before the step that begins a stage; the state but for what it
/// found is then as before.
/// @throws NonFiniteError before the optimizer step when the loss, a gradient or a value reaching
/// an encode is not finite, with
///         iteration, site and role; nothing is saved then. Whatever task and events throw passes
///         through.
Outcome run_loop(const Task& task, RunState& state, const LoopSettings& settings,
                 const LoopEvents& events);

/// Runs the passes of the next step, without its update, and shows them to an observer. Of the
/// state only layer state, the ledger and what run_loop does before its first step change. @throws
/// as run_loop
void observe_step(const Task& task, RunState& state, const LoopSettings& settings,
                  const Observer& observer);

/// The plan that evaluations after so many updates have. @throws ConfigError if the settings have
/// none
PrecisionPlan evaluation_plan(const LoopSettings& settings, std::int64_t updates);

/// Scores one split under the evaluation plan; parameters and layer state stay as they are.
EvalRow evaluate(const Task& task, const Split& split, RunState& state,
                 const LoopSettings& settings, const LoopEvents& events = {});

/// Shows the first piece of a split, scored under the evaluation plan, to an observer. Nothing is
/// charged.
void observe_evaluation(const Split& split, const RunState& state, const LoopSettings& settings,
                        const Observer& observer);

/// Scores a file under the evaluation plan. The charges go to the ledger of evaluations.
std::vector<std::vector<std::string>> score_file(const Task& task, const std::string& path,
                                                 RunState& state, const LoopSettings& settings);

/// Has the network write a text under the evaluation plan. The charges go to the ledger of
/// evaluations.
Generated generate(const Task& task, RunState& state, const LoopSettings& settings);

/// What the record says of a plan: the formats by role of the charged sites that no rule of the
/// plan is for or, if there is no such site, of the first charged site. by_site is set if any other
/// charged site has other formats, or one of its products has.
RoleFormats role_formats(const PrecisionPlan& plan, const CostLedger& charged);

}  // namespace ebb::train
