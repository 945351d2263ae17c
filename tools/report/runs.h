#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "quant/ledger.h"
#include "tools/report/range.h"
#include "train/app/inspect.h"
#include "train/record.h"

namespace ebb::report {

/// A line of operands.jsonl.
struct QualityRow {
  std::int64_t iteration = 0;
  std::string site, role, format;
  double at_ends = 0, zeros = 0;  ///< shares of the codes
  double sqnr_db = 0;             ///< infinite if nothing was lost
};

/// A line of probe.jsonl: what another format would have done to an operand, or to the sums of a
/// layer's products of one kind.
struct ProbeRow {
  std::int64_t iteration = 0;
  std::string site, what, format;  ///< `what`: a role, or a product
  bool of_sums = false;
  double at_ends = 0, zeros = 0, underflow = 0;  ///< shares
  double sqnr_db = 0;                            ///< infinite if nothing was lost
  double sums = 0, sum_bits = 0;                 ///< of products
  KeyValues overflows{};                         ///< events by accumulator
};

struct Run {
  std::string name;  ///< unique in the report
  train::Inspection record{};
  std::vector<std::string> command{};  ///< words that make this run
  std::vector<QualityRow> operands{};
  std::vector<ProbeRow> probe{};
  std::optional<RangeSettings> range{};  ///< of a precision range test

  /// The text of an option, "" if it has none; `program` is one, too.
  [[nodiscard]] std::string option(std::string_view key) const;
  /// What options came to, such as `iterations` and `bits`.
  [[nodiscard]] std::string resolved(std::string_view key) const;
  [[nodiscard]] std::int64_t steps() const { return std::ssize(record.history.steps); }
  [[nodiscard]] std::int64_t planned_steps() const;
  [[nodiscard]] bool finished() const { return steps() > 0 && steps() >= planned_steps(); }
  [[nodiscard]] double seconds() const;  ///< of steps and evaluations
  /// The last evaluation of a split.
  [[nodiscard]] const train::EvalRow* last(std::string_view split) const;
};

/// What could not be read, or did not run.
struct Failure {
  std::string name, message;
  bool unreadable = false;
};

struct Collection {
  std::string title{};                  ///< of the study, if there is one
  std::optional<KeyValues> baseline{};  ///< options of the configuration to compare with
  std::vector<Run> runs{};
  std::vector<Failure> failures{};
  std::int64_t waiting = 0;  ///< runs of a study that nobody began
};

/// Reads run directories, folders of runs, and the folders of studies (study.json). Runs are in the
/// order given, those of a folder by name, those of a study as it lists them. Costs are relative to
/// what is chosen, the rest being as the first run says, so that they can be compared.
/// What cannot be read is a failure, and the rest is read.
/// @throws DataError if a directory does not exist, or there is no run at all
Collection read_runs(std::span<const std::string> directories,
                     const train::CostChoice& choice = {});

/// Options in which the runs differ, without the seed.
std::vector<std::string> differing_options(std::span<const Run> runs);

/// Words as a shell reads them back.
std::string shell_line(std::span<const std::string> words);

}  // namespace ebb::report
