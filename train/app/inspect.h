#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quant/ledger.h"
#include "train/app/report.h"
#include "train/config.h"
#include "train/monitor.h"
#include "train/options/precision.h"
#include "train/record.h"

namespace ebb::train {

/// What a run directory tells about its run, finished or under way.
struct Inspection {
  std::string directory{};
  RunConfig config{};
  History history{};
  std::vector<OperandRow> operands{};
  std::vector<UpdateRow> updates{};        ///< of the last step whose updates were measured
  std::optional<std::int64_t> saved_at{};  ///< iteration of the checkpoint, if there is one; the
                                           ///< ledgers and costs are of it
  CostLedger ledger{}, evaluation_ledger{},
      search_ledger{};  ///< of the probes of controllers that search
  RelativeCost cost{};  ///< of training
};

/// The bit-operations of all steps, or of all evaluations, on record, which may go on beyond the
/// checkpoint.
uint128 recorded_bit_ops(const std::vector<StepRow>& steps);
uint128 recorded_bit_ops(const std::vector<EvalRow>& evaluations);

/// The score that the run was watched by, with its best; and its patience.
Monitor monitor_of(const Inspection& inspection);

/// What costs are compared with and counted in; where nothing is said, as the run says.
struct CostChoice {
  std::optional<SiteFormats> reference{};
  std::optional<CostModel> model{};
};
/// What the options of a run say.
CostBasis cost_basis(const RunConfig& config, const CostChoice& choice = {});

/// @throws DataError if the directory is no run
Inspection inspect(const std::string& directory, const CostChoice& choice = {});

/// Accuracy, cost, time, and where the bit-operations went, for reading.
std::string to_table(const Inspection& inspection);
/// The same as one JSON object; counts are decimal strings.
std::string to_json(const Inspection& inspection);

}  // namespace ebb::train
