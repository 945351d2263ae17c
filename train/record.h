#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/hyperparameters.h"
#include "core/text.h"
#include "layers/probe.h"
#include "optim/update_quality.h"
#include "train/checkpoint.h"
#include "train/digest.h"
#include "train/files.h"

namespace ebb::train {

/// Formats by role, see role_formats.
struct RoleFormats {
  Format weight{}, activation{};
  std::optional<Format> gradient =
      Format::fp32();    ///< none of evaluations, which have no gradients
  bool by_site = false;  ///< group{...}, --keep-fp32 or --numerics gives some sites, or a product
                         ///< of theirs, other formats; --dry-run lists them
  friend bool operator==(const RoleFormats&, const RoleFormats&) = default;
};

/// One optimizer step: a line of steps.jsonl.
struct StepRow {
  std::int64_t iteration = 0, epoch = 0;  ///< both from 0
  double loss = 0;                        ///< of the batch, before the update
  std::optional<double> accuracy{};       ///< as the loss, where examples have labels
  double learning_rate = 0;
  NamedNumbers settings{};             ///< that follow schedules: --set, by name
  std::optional<double> loss_scale{};  ///< that the update was made at, if there is one
  std::int64_t skipped = 0;            ///< attempts before it that overflowed
  RoleFormats formats{};
  uint128 bit_ops = 0;  ///< of this step alone
  double seconds = 0;
  friend bool operator==(const StepRow&, const StepRow&) = default;
};

/// One evaluation: a line of evals.jsonl.
struct EvalRow {
  std::int64_t iteration = 0;  ///< optimizer steps done before it
  std::string split{};         ///< "test" or "validation"
  std::int64_t examples =
      0;  ///< that were scored: images, tokens, words, nodes; 0 in records of earlier versions
  double loss = 0;
  std::string metric{};  ///< what the model family scores by, e.g. "accuracy"
  double score = 0;
  RoleFormats formats{};
  uint128 bit_ops = 0;  ///< of this evaluation, not part of those of training
  double seconds = 0;
  bool lower_is_better = false;  ///< of the score
  NamedNumbers more{};           ///< other scores by metric, if there are any
  friend bool operator==(const EvalRow&, const EvalRow&) = default;
};

/// What was measured of one operand: a line of operands.jsonl.
struct OperandRow {
  std::int64_t iteration = 0;  ///< several lines share one
  std::string site{}, role{}, format{};
  std::string grid{};  ///< over what one scale reaches: "tensor", "output channel" or "input
                       ///< channel"; empty in records of earlier versions
  std::int64_t elements = 0;
  double at_ends = 0, zeros = 0;  ///< shares
  double sqnr_db = 0;             ///< infinite if nothing was lost
  friend bool operator==(const OperandRow&, const OperandRow&) = default;
};

/// The lines of the record, as JSON objects without a line feed. Reals keep all their bits; bit_ops
/// is a decimal string, since it may pass what other programs hold exactly.
std::string to_line(const StepRow& row);
std::string to_line(const EvalRow& row);
std::string to_line(std::int64_t iteration, const OperandQuality& quality);
std::string to_line(std::int64_t iteration, const ProductSums& sums);

/// What an update came to: a line of updates.jsonl.
struct UpdateRow {
  std::int64_t iteration = 0;  ///< several lines share one
  UpdateQuality quality{};
};
std::string to_line(const UpdateRow& row);

/// Everything of the record that belongs to the first steps of a run.
struct History {
  std::vector<StepRow> steps{};
  std::vector<EvalRow> evaluations{};
};

/// Names of checkpoints, files NAME.safetensors: the last one, by which a run goes on; the one of
/// the best score; and that after so many steps.
inline constexpr const char* kLastCheckpoint = "checkpoint";
inline constexpr const char* kBestCheckpoint = "best";
std::string checkpoint_after(std::int64_t iteration);
/// The name of the checkpoint for "last", "best" or a number of steps. @throws ConfigError for
/// another text
std::string checkpoint_name(const std::string& text);

/// A run directory: config.json, steps.jsonl, evals.jsonl, operands.jsonl if operands are measured,
/// probe.jsonl if other formats are, updates.jsonl if updates are, checkpoint.safetensors, and the
/// file `lock` by which one run at a time claims it and by which it is known as a run's from its
/// first moment. All are files of the directory itself: what is a link there is never written
/// through.
class RunDirectory {
 public:
  /// Refuses what `create` would. @throws DataError if there is anything of that name
  static void require_absent(const std::string& path);
  /// Makes the directory, and those above it, and writes the configuration.
  /// @throws DataError if it exists or cannot be written; nothing that was made is left then
  static RunDirectory create(std::string path, std::string_view config,
                             FileSystem files = FileSystem::real());
  /// The same under a name of its own where that is taken: PATH-2, PATH-3, ...
  static RunDirectory create_beside(const std::string& path, std::string_view config,
                                    FileSystem files = FileSystem::real());
  /// Claims the directory of a run to go on in it; changes nothing of the run yet.
  /// @throws DataError if it holds no run or another run is writing to it; nothing is made in it
  /// then
  static RunDirectory open(std::string path, FileSystem files = FileSystem::real());

  [[nodiscard]] const std::string& path() const { return path_; }
  /// True if the run was ended before it wrote its configuration, so that there is nothing to lose.
  [[nodiscard]] bool untouched() const;
  /// The last checkpoint, if one was saved. @throws DataError if it is damaged or foreign
  [[nodiscard]] std::optional<Checkpoint> checkpoint() const;

  /// Replaces the configuration.
  void write_config(std::string_view config);
  /// Writes a file that the run keeps, unless it has it.
  void keep(const std::string& name, std::string_view content);
  /// Drops what was recorded after `iteration` steps, whatever it is, and returns the rest. With a
  /// checkpoint's notes, every line before it must be the one that stood there when it was saved;
  /// without, the lines must be those of consecutive steps.
  /// @throws DataError naming file and line if the record holds fewer, others, or is no record
  History cut_back(std::int64_t iteration, const std::map<std::string, std::string>& notes = {});
  /// What cut_back dropped, as in "2 lines of steps.jsonl"; empty if nothing.
  [[nodiscard]] const std::string& dropped() const { return dropped_; }

  /// Add to the record; cut_back (or create) comes first.
  void add(const StepRow& row);
  void add(const EvalRow& row);
  void add(std::int64_t iteration, const std::vector<OperandQuality>& operands);
  void add_probe(std::int64_t iteration, const Measurements& measured);
  void add_updates(std::int64_t iteration, const std::vector<UpdateQuality>& updates);
  /// Replaces the checkpoint of that name, after the record up to it is on the disk, and notes the
  /// record's digests in it.
  /// @throws DataError if that fails, or the directory or one of its files was removed or replaced
  /// meanwhile
  void save(Checkpoint checkpoint, const std::string& name = kLastCheckpoint);

 private:
  // A file of the record that grows.
  struct Log {
    LineFile file;
    LineDigest digest;
    void add(const std::string& line);
  };

  RunDirectory(std::string path, FileSystem files);
  static RunDirectory begin(const std::string& path, std::string_view config, FileSystem files);
  template <class Rows>
  void go_on(std::optional<Log>& log, const char* name, Rows& rows);

  std::string path_;
  FileSystem files_;
  DirectoryLock lock_;
  /// Of a file of measurements, which is made when there is something to write.
  enum class Measured : std::uint8_t { operands, probe, updates };
  static constexpr std::size_t kMeasuredFiles = 3;
  Log& log_of(Measured measured);
  std::optional<Log> steps_, evaluations_;
  std::array<std::optional<Log>, kMeasuredFiles> measured_;
  std::string dropped_;
};

/// Reading a run directory without claiming it, finished or under way.
std::string read_config(const std::string& directory);
History read_history(const std::string& directory);
std::vector<OperandRow> read_operands(const std::string& directory);
/// Of the last step whose updates were measured.
std::vector<UpdateRow> read_last_updates(const std::string& directory);
Checkpoint read_checkpoint(const std::string& directory, const std::string& name = kLastCheckpoint);

}  // namespace ebb::train
