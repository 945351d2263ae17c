#include "train/record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "quant/ledger.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kConfig = "/config.json";
constexpr const char* kSteps = "/steps.jsonl";
constexpr const char* kEvaluations = "/evals.jsonl";
constexpr const char* kOperands = "/operands.jsonl";
constexpr const char* kCheckpoint = "/checkpoint.safetensors";
constexpr const char* kLock = "/lock";

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

Json to_json(const RoleBits& bits) {
  Json json{{"weight", bits.weight}, {"activation", bits.activation}, {"gradient", bits.gradient}};
  if (bits.by_site) json["by_site"] = true;
  return json;
}

RoleBits bits_of(const Json& json) {
  return {json.at("weight").get<int>(), json.at("activation").get<int>(), json.at("gradient").get<int>(),
          json.value("by_site", false)};
}

// A loss that is not finite has no number in JSON; the step that met it stops the run, but an evaluation may record it.
double real_of(const Json& json) { return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>(); }

StepRow step_of(const Json& json) {
  return {.iteration = json.at("iteration").get<std::int64_t>(),
          .epoch = json.at("epoch").get<std::int64_t>(),
          .loss = real_of(json.at("loss")),
          .learning_rate = real_of(json.at("learning_rate")),
          .bits = bits_of(json.at("bits")),
          .bit_ops = parse_uint128(json.at("bit_ops").get_ref<const std::string&>()),
          .seconds = json.at("seconds").get<double>()};
}

EvalRow evaluation_of(const Json& json) {
  return {.iteration = json.at("iteration").get<std::int64_t>(),
          .split = json.at("split").get<std::string>(),
          .examples = json.value("examples", std::int64_t{0}),
          .loss = real_of(json.at("loss")),
          .metric = json.at("metric").get<std::string>(),
          .score = real_of(json.at("score")),
          .bits = bits_of(json.at("bits")),
          .bit_ops = parse_uint128(json.at("bit_ops").get_ref<const std::string&>()),
          .seconds = json.at("seconds").get<double>()};
}

// The rows of the whole lines of a record for as long as `wanted` holds, and the bytes they take. What a crash left after the last
// line feed is no line.
template <class Row>
struct Rows {
  std::vector<Row> rows;
  std::int64_t bytes = 0;
};
template <class Row, class Wanted>
Rows<Row> rows_of(const std::string& path, const std::function<Row(const Json&)>& parse_row, const Wanted& wanted) {
  Rows<Row> result;
  if (!exists(path)) return result;
  const std::string text = read_file(path);
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    try {
      Row row = parse_row(
          Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(end)));
      if (!wanted(row)) break;
      result.rows.push_back(std::move(row));
    } catch (const std::exception& error) {
      throw DataError(concat("[record] ", path, ", line ", result.rows.size() + 1, " is no line of a record: ", error.what()));
    }
    result.bytes = static_cast<std::int64_t>(end + 1);
  }
  return result;
}

Rows<StepRow> steps_before(const std::string& directory, std::int64_t iteration) {
  return rows_of<StepRow>(directory + kSteps, step_of, [&](const StepRow& row) { return row.iteration < iteration; });
}
Rows<EvalRow> evaluations_until(const std::string& directory, std::int64_t iteration) {
  return rows_of<EvalRow>(directory + kEvaluations, evaluation_of, [&](const EvalRow& row) { return row.iteration <= iteration; });
}

// Only the iteration matters for cutting back; several lines share one.
std::int64_t operands_before(const std::string& directory, std::int64_t iteration) {
  const auto iteration_of = [](const Json& json) { return json.at("iteration").get<std::int64_t>(); };
  return rows_of<std::int64_t>(directory + kOperands, iteration_of, [&](std::int64_t at) { return at < iteration; }).bytes;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

bool lower_is_better(std::string_view metric) { return metric == "perplexity" || metric == "bits_per_byte"; }

std::string to_line(const StepRow& row) {
  return dump({{"iteration", row.iteration},
               {"epoch", row.epoch},
               {"loss", row.loss},
               {"learning_rate", row.learning_rate},
               {"bits", to_json(row.bits)},
               {"bit_ops", to_text(row.bit_ops)},
               {"seconds", row.seconds}});
}

std::string to_line(const EvalRow& row) {
  return dump({{"iteration", row.iteration},
               {"split", row.split},
               {"examples", row.examples},
               {"loss", row.loss},
               {"metric", row.metric},
               {"score", row.score},
               {"bits", to_json(row.bits)},
               {"bit_ops", to_text(row.bit_ops)},
               {"seconds", row.seconds}});
}

std::string to_line(std::int64_t iteration, const OperandQuality& quality) {
  return dump({{"iteration", iteration},
               {"site", quality.site},
               {"role", to_text(quality.role)},
               {"format", to_text(quality.format)},
               {"elements", quality.elements},
               {"at_ends", quality.at_ends},
               {"zeros", quality.zeros},
               {"sqnr_db", quality.sqnr_db}});
}

RunDirectory::RunDirectory(std::string path, FileSystem files)
    : path_(std::move(path)), files_(std::move(files)), lock_(path_ + kLock) {}

RunDirectory RunDirectory::create(std::string path, std::string_view config, FileSystem files) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  require<DataError>(
      !exists(path), "[out] ", path,
      " exists already, and a run never overwrites; choose another --out, or add --resume to go on with the run in it");
  std::error_code error;
  if (const auto parent = std::filesystem::path(path).parent_path(); !parent.empty())
    std::filesystem::create_directories(parent, error);
  if (!error && ::mkdir(path.c_str(), 0755) != 0) error = {errno, std::generic_category()};
  require<DataError>(!error, "[out] cannot make the directory ", path, ": ", error.message(),
                     "; choose an --out that you may write to");
  try {
    RunDirectory run(path, std::move(files));
    run.write_config(config);
    run.cut_back(0);
    return run;
  } catch (...) {
    for (const char* name : {kSteps, kEvaluations, kConfig, kLock}) ::unlink((path + name).c_str());
    ::rmdir(path.c_str());
    throw;
  }
}

RunDirectory RunDirectory::open(std::string path, FileSystem files) {
  struct stat info {};
  require<DataError>(::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode), "[resume] expected a run directory, ", path,
                     " is none; check the path, or leave out --resume to begin a new run");
  return RunDirectory(std::move(path), std::move(files));
}

std::optional<Checkpoint> RunDirectory::checkpoint() const {
  if (!exists(path_ + kCheckpoint)) return std::nullopt;
  return read_checkpoint(path_);
}

bool RunDirectory::has_config() const { return exists(path_ + kConfig); }

void RunDirectory::write_config(std::string_view config) { write_file(path_ + kConfig, config, files_); }

History RunDirectory::cut_back(std::int64_t iteration) {
  Rows<StepRow> steps = steps_before(path_, iteration);
  Rows<EvalRow> evaluations = evaluations_until(path_, iteration);
  const auto count = static_cast<std::int64_t>(steps.rows.size());
  require<DataError>(count == iteration, "[resume] ", path_, kSteps, ": expected the ", iteration,
                     " steps that the checkpoint follows, found ", count, "; the record does not belong to the checkpoint");
  steps_.emplace(path_ + kSteps, steps.bytes, files_);
  evaluations_.emplace(path_ + kEvaluations, evaluations.bytes, files_);
  if (exists(path_ + kOperands)) operands_.emplace(path_ + kOperands, operands_before(path_, iteration), files_);
  return {std::move(steps.rows), std::move(evaluations.rows)};
}

void RunDirectory::add(const StepRow& row) { steps_->append(to_line(row)); }
void RunDirectory::add(const EvalRow& row) { evaluations_->append(to_line(row)); }

void RunDirectory::add(std::int64_t iteration, const std::vector<OperandQuality>& operands) {
  if (!operands_) operands_.emplace(path_ + kOperands, 0, files_);
  for (const OperandQuality& quality : operands) operands_->append(to_line(iteration, quality));
}

void RunDirectory::save(const Checkpoint& checkpoint) {
  steps_->sync();
  evaluations_->sync();
  if (operands_) operands_->sync();
  write_file(path_ + kCheckpoint, to_bytes(checkpoint), files_);
}

std::string read_config(const std::string& directory) {
  require<DataError>(exists(directory + kConfig), "[run] expected a run directory with config.json, ", directory,
                     " is none; check the path");
  return read_file(directory + kConfig);
}

History read_history(const std::string& directory) {
  constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  return {steps_before(directory, kAll).rows, evaluations_until(directory, kAll).rows};
}

Checkpoint read_checkpoint(const std::string& directory) {
  const std::string path = directory + kCheckpoint;
  try {
    return parse_checkpoint(read_file(path));
  } catch (const DataError& error) {
    throw DataError(concat(error.what(), "\n  while reading ", path));
  }
}

}  // namespace ebb::train
