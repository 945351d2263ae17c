#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quant/ledger.h"
#include "train/costs.h"
#include "train/loop.h"
#include "train/monitor.h"
#include "train/options/precision.h"
#include "train/record.h"

namespace ebb::train {

/// The kernel that multiplies dense operands under a plan, and the one of convolutions where the
/// network has some and it is another.
std::string kernel_name(const PrecisionPlan& plan, const ParamStore& params, Simd simd);
/// Version, compiler, instruction set and kernel.
KeyValues build_fingerprint(const PrecisionPlan& plan, const ParamStore& params, Simd simd);

/// The mean loss of the last epoch's steps, of all if they are fewer; none without steps.
std::optional<double> training_loss(const History& history, std::int64_t steps_per_epoch);

/// What a run came to: the object of --json.
struct Summary {
  std::string metric{};                         ///< what the splits are scored by
  NamedNumbers baselines{};                     ///< of the task
  std::optional<EvalRow> test{}, validation{};  ///< the last evaluation of that split
  std::optional<double> train_loss{};           ///< see training_loss
  CostLedger ledger, evaluation_ledger;
  RelativeCost cost;
  std::optional<double> seconds_per_step{};  ///< median
  std::int64_t peak_rss_bytes = 0;
  std::string weights_sha256;
  std::int64_t iterations = 0;
  std::string kernel;
  bool interrupted = false;
  bool ended_early = false;  ///< by --patience
  Monitor monitor{};         ///< with the best score
  std::string directory{};   ///< where the run was saved; empty: nowhere
};
/// `plan` is one of the run's, by which its kernel is named.
Summary summarize(const History& history, const RunState& state, const Task& task,
                  const CostBasis& costs, const PrecisionPlan& plan, Simd simd);
std::string to_json(const Summary& summary);
/// The same for reading.
std::string to_table(const Summary& summary);

/// What --generate --json says: the text, its tokens, and what writing it cost.
std::string to_json(const Generated& generated, const CostLedger& ledger);

/// The training loss with what it is a mean of.
std::string training_loss_text(double loss);
/// The other scores of an evaluation as a JSON object: {"test_map": 0.4, "test_ap50": {"disc":
/// 0.7}} of a test split's `map` and `ap50/disc`.
std::string more_scores_json(const EvalRow& row);
/// The same in words: "map 0.4000, ap50 disc 0.7000".
std::string more_scores_text(const EvalRow& row);

/// Why a run that --patience ended is no longer.
std::string early_end_text(const Monitor& monitor);

/// A ratio of costs beside what it is a ratio of: "0.6612 of 8/8/8".
std::string format_cost(double ratio, const CostBasis& basis);
/// A cost in its unit, beside the ratio: "1.234 G bit-operations, 0.6612 of 8/8/8".
std::string format_cost(const CostLedger& ledger, const RelativeCost& cost);
/// What the scales of block formats take, if there are any.
void add_scales(const CostLedger& ledger, std::vector<std::vector<std::string>>& facts);
/// In every model, of the same products in float32: "bits 0.0391, datapath(K=256) 0.1146".
std::string costs_of_fp32(const CostLedger& ledger);
/// The same as a JSON array, also beside `reference`.
std::string costs_json(const CostLedger& ledger, const SiteFormats& reference);

/// The most memory that the process has had.
std::int64_t peak_rss_bytes();

}  // namespace ebb::train
