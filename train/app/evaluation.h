#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "quant/ledger.h"
#include "train/costs.h"
#include "train/loop.h"
#include "train/options/precision.h"
#include "train/record.h"

namespace ebb::train {

/// What scoring a checkpoint came to: what --evaluate says. All of it is of this evaluation,
/// nothing of the training before it.
struct EvaluationReport {
  std::string metric{};      ///< what the splits are scored by
  NamedNumbers baselines{};  ///< of the task
  std::vector<EvalRow> splits{};
  CostLedger ledger{};
  CostBasis costs{};
  KeyValues arithmetic{};  ///< see arithmetic_options
  std::string weights_sha256{}, kernel{};
  std::int64_t iterations = 0;  ///< optimizer steps of the checkpoint
};

/// Scores all splits under the settings' evaluation plan, which is what `precision` came to,
/// charged to a ledger of their own and not to the state's. Of the events, pieces and evaluations
/// are told.
EvaluationReport evaluate_all(const Task& task, RunState& state, const LoopSettings& settings,
                              const Precision& precision, const LoopEvents& events = {});

/// One JSON object; counts are decimal strings.
std::string to_json(const EvaluationReport& report);
/// The same for reading.
std::string to_table(const EvaluationReport& report);

/// A checkpoint scored in one format, and what its operands lost.
struct FormatScore {
  Format format{};
  EvaluationReport report{};
  /// Of the operands of the first piece of the monitored split: -10 log10 of the mean of their
  /// ratios of noise to signal. +inf where nothing was lost.
  double weight_sqnr_db = 0, activation_sqnr_db = 0;
};
/// evaluate_all, and an observed piece.
FormatScore score_format(Format format, const Task& task, RunState& state,
                         const LoopSettings& settings, const Precision& precision,
                         const LoopEvents& events = {});
/// A JSON array of what to_json() says of each, with its format and these ratios.
std::string to_json(std::span<const FormatScore> scores);
/// A row of tabs, or the heading of such rows.
std::string to_row(const FormatScore& score);
std::string heading_of(const FormatScore& score);

}  // namespace ebb::train
