#include "train/record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "quant/ledger.h"
#include "train/config.h"

namespace ebb::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kConfig = "/config.json";
constexpr const char* kSteps = "/steps.jsonl";
constexpr const char* kEvaluations = "/evals.jsonl";
constexpr const char* kOperands = "/operands.jsonl";
/// By RunDirectory::Measured.
constexpr std::array kMeasured{kOperands, "/probe.jsonl", "/updates.jsonl"};
constexpr const char* kLock = "/lock";
constexpr std::string_view kMarker =
    "The directory of a run of Ebb, locked while the run writes to it.";

std::string checkpoint_path(const std::string& directory, const std::string& name) {
  return concat(directory, '/', name, ".safetensors");
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

Json to_json(const RoleFormats& formats) {
  Json json{{"weight", to_text(formats.weight)}, {"activation", to_text(formats.activation)}};
  if (formats.gradient) json["gradient"] = to_text(*formats.gradient);
  if (formats.by_site) json["by_site"] = true;
  return json;
}

// Earlier versions wrote widths: 8 is int8, 32 fp32.
Format format_of(const Json& json) {
  const std::string text = json.is_number() ? json.dump() : json.get<std::string>();
  Format format;
  require<DataError>((json.is_number() && text == "32") || find_width(text, format), "[run] '",
                     text, "' is no format of this version");
  return format;
}

// Earlier versions wrote a gradient's for evaluations, too, which have none.
RoleFormats formats_of(const Json& json, bool gradient) {
  return {format_of(json.at("weight")), format_of(json.at("activation")),
          gradient ? std::optional(format_of(json.at("gradient"))) : std::nullopt,
          json.value("by_site", false)};
}

// A loss that is not finite, which an evaluation may have, has no number in JSON.
double real_of(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

// An object of numbers by name, which may be absent.
NamedNumbers numbers_of(const Json& json, const char* name) {
  const Json object = json.value(name, Json::object());
  NamedNumbers numbers;
  for (const auto& [key, value] : object.items()) numbers.emplace_back(key, real_of(value));
  return numbers;
}

StepRow step_of(const Json& json) {
  const auto accuracy = json.find("accuracy");
  return {
      .iteration = json.at("iteration").get<std::int64_t>(),
      .epoch = json.at("epoch").get<std::int64_t>(),
      .loss = real_of(json.at("loss")),
      .accuracy = accuracy == json.end() ? std::nullopt : std::optional(accuracy->get<double>()),
      .learning_rate = real_of(json.at("learning_rate")),
      .settings = numbers_of(json, "settings"),
      .loss_scale = json.contains("loss_scale") ? std::optional(real_of(json.at("loss_scale")))
                                                : std::nullopt,
      .skipped = json.value("skipped", std::int64_t{0}),
      .formats = formats_of(json.at("bits"), true),
      .bit_ops = parse_uint128(json.at("bit_ops").get_ref<const std::string&>()),
      .seconds = json.at("seconds").get<double>()};
}

EvalRow evaluation_of(const Json& json) {
  const std::string metric = json.at("metric").get<std::string>();
  // What earlier versions did not say.
  const bool lower = metric == "perplexity" || metric == "bits_per_byte";
  return {.iteration = json.at("iteration").get<std::int64_t>(),
          .split = json.at("split").get<std::string>(),
          .examples = json.value("examples", std::int64_t{0}),
          .loss = real_of(json.at("loss")),
          .metric = metric,
          .score = real_of(json.at("score")),
          .formats = formats_of(json.at("bits"), false),
          .bit_ops = parse_uint128(json.at("bit_ops").get_ref<const std::string&>()),
          .seconds = json.at("seconds").get<double>(),
          .lower_is_better = json.value("lower_is_better", lower),
          .more = numbers_of(json, "scores")};
}

OperandRow operand_of(const Json& json) {
  const Json sqnr = json.value("sqnr_db", Json());
  return {.iteration = json.at("iteration").get<std::int64_t>(),
          .site = json.value("site", ""),
          .role = json.value("role", ""),
          .format = json.value("format", ""),
          .grid = json.value("grid", ""),
          .elements = json.value("elements", std::int64_t{0}),
          .at_ends = real_of(json.value("at_ends", Json())),
          .zeros = real_of(json.value("zeros", Json())),
          .sqnr_db = sqnr.is_string() ? std::numeric_limits<double>::infinity() : real_of(sqnr)};
}

// What is wrong with the last row behind those before it; empty if nothing is.
std::string misplaced(const std::vector<StepRow>& rows) {
  const std::int64_t expected = std::ssize(rows) - 1, got = rows.back().iteration;
  return got == expected
             ? ""
             : concat("expected the step of iteration ", expected, ", got that of ", got);
}
std::string misplaced(const std::vector<EvalRow>& rows) {
  const EvalRow& row = rows.back();
  for (auto other = rows.rbegin() + 1; other != rows.rend(); ++other) {
    if (other->iteration > row.iteration)
      return concat("expected an evaluation after ", other->iteration,
                    " steps or more, got one after ", row.iteration);
    if (other->iteration < row.iteration) break;
    if (other->split == row.split)
      return concat("the evaluation after ", row.iteration, " steps on the ", row.split,
                    " split appears twice");
  }
  return "";
}
std::string misplaced(const std::vector<OperandRow>& rows) {
  if (rows.size() < 2 || rows[rows.size() - 2].iteration <= rows.back().iteration) return "";
  return concat("expected measurements of iteration ", rows[rows.size() - 2].iteration,
                " or a later one, got those of ", rows.back().iteration);
}

// The rows of the first lines of a record, the bytes they take and their digest, and how much
// follows. What a crash left after the last line feed is no line.
template <class Row>
struct Rows {
  std::vector<Row> rows;
  std::int64_t bytes = 0, more_bytes = 0;
  LineDigest digest;
  std::int64_t more_lines = 0;
  bool torn = false;
};

// At most `count` rows, as long as `wanted` holds.
template <class Row, class Wanted>
Rows<Row> rows_of(const std::string& path, Row (*parse_row)(const Json&), std::int64_t count,
                  const Wanted& wanted) {
  Rows<Row> result;
  if (!exists(path)) return result;
  const std::string text = read_file(path);
  const std::string_view view = text;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = view.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (std::ssize(result.rows) == count) break;
    const std::string_view line = view.substr(begin, end - begin);
    try {
      require<DataError>(line.find('\0') == std::string_view::npos,
                         "it holds a NUL");  // which ends the JSON parser's input
      Row row = parse_row(Json::parse(line));
      if (!wanted(row)) break;
      result.rows.push_back(std::move(row));
    } catch (const std::exception& error) {
      throw DataError(concat("[record] ", path, ", line ", result.rows.size() + 1,
                             " is no line of a record: ", error.what()));
    }
    const std::string wrong = misplaced(result.rows);
    require<DataError>(wrong.empty(), "[record] ", path, ", line ", result.rows.size(), ": ", wrong,
                       "; lines are missing, doubled or exchanged");
    result.digest.add(line);
    result.bytes = static_cast<std::int64_t>(end + 1);
  }
  const std::string_view rest = view.substr(static_cast<std::size_t>(result.bytes));
  result.more_bytes = std::ssize(rest);
  result.more_lines = std::ranges::count(rest, '\n');
  result.torn = !rest.empty() && rest.back() != '\n';
  return result;
}

constexpr const char* kAltered =
    " is not what it was when the checkpoint was saved; restore the file, or begin a new run";
constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

// The rows before a checkpoint: as many as its digest is of, or of an older version's, which has
// none, those that are `wanted`.
template <class Row, class Wanted>
Rows<Row> rows_before(const std::string& path, Row (*parse_row)(const Json&),
                      const std::string& digest, const Wanted& wanted) {
  if (digest.empty()) return rows_of(path, parse_row, kAll, wanted);
  const std::int64_t lines = lines_of(digest);
  Rows<Row> result = rows_of(path, parse_row, lines, [](const Row&) { return true; });
  require<DataError>(result.digest.lines() == lines, "[resume] ", path, ": expected the ", lines,
                     " lines that the checkpoint follows, found ", result.digest.lines(),
                     "; lines are missing, restore the file");
  const std::string altered = first_difference(digest, result.digest);
  require<DataError>(altered.empty(), "[resume] ", path, ": ", altered, kAltered);
  return result;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string to_line(const StepRow& row) {
  Json json{{"iteration", row.iteration}, {"epoch", row.epoch}, {"loss", row.loss}};
  if (row.accuracy) json["accuracy"] = *row.accuracy;
  json["learning_rate"] = row.learning_rate;
  for (const auto& [name, value] : row.settings) json["settings"][name] = value;
  if (row.loss_scale) json["loss_scale"] = *row.loss_scale;
  if (row.skipped > 0) json["skipped"] = row.skipped;
  json["bits"] = to_json(row.formats);
  json["bit_ops"] = to_text(row.bit_ops);
  json["seconds"] = row.seconds;
  return dump(json);
}

std::string to_line(const EvalRow& row) {
  Json json{{"iteration", row.iteration},   {"split", row.split},
            {"examples", row.examples},     {"loss", row.loss},
            {"metric", row.metric},         {"score", row.score},
            {"bits", to_json(row.formats)}, {"bit_ops", to_text(row.bit_ops)},
            {"seconds", row.seconds}};
  if (row.lower_is_better) json["lower_is_better"] = true;
  for (const auto& [name, score] : row.more) json["scores"][name] = score;
  return dump(json);
}

namespace {

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool has_marker(const std::string& directory) {
  return exists(directory + kLock) && read_file(directory + kLock) == concat(kMarker, '\n');
}

// Looked at before anything is made in a directory: resuming begins nothing where no run was.
void check_is_run(const std::string& directory) {
  try {
    parse_config(read_config(directory));
  } catch (const DataError& no_config) {
    try {
      static_cast<void>(read_checkpoint(directory));  // which holds the configuration, too
    } catch (const DataError&) {
      const bool about_to_begin = !exists(directory + kConfig) && has_marker(directory);
      require<DataError>(about_to_begin, "[resume] ", directory,
                         " holds no run that could go on: ", no_config.what());
    }
  }
}

}  // namespace

void RunDirectory::Log::add(const std::string& line) {
  file.append(line);
  digest.add(line);
}

RunDirectory::RunDirectory(std::string path, FileSystem files)
    : path_(std::move(path)), files_(std::move(files)), lock_(path_ + kLock) {}

void RunDirectory::require_absent(const std::string& path) {
  require<DataError>(!exists(without_slashes(path)), "[out] ", path,
                     " exists already, and a run never overwrites; choose another --out, or add "
                     "--resume to go on with the run in it");
}

namespace {

// Makes a directory, and those above it; false if there is something of that name.
bool make_directory(const std::string& path) {
  std::error_code error;
  if (const auto parent = std::filesystem::path(path).parent_path(); !parent.empty())
    std::filesystem::create_directories(parent, error);
  if (!error && ::mkdir(path.c_str(), 0755) != 0) error = {errno, std::generic_category()};
  if (error == std::errc::file_exists && exists(path)) return false;
  require<DataError>(!error, "[out] cannot make the directory ", path, ": ", error.message(),
                     "; choose an --out that you may write to, or --out none to save nothing");
  return true;
}

}  // namespace

RunDirectory RunDirectory::create(std::string path, std::string_view config, FileSystem files) {
  path = without_slashes(std::move(path));
  if (!make_directory(path)) require_absent(path);
  return begin(path, config, std::move(files));
}

RunDirectory RunDirectory::create_beside(const std::string& path, std::string_view config,
                                         FileSystem files) {
  std::string name = path;
  for (std::int64_t n = 2; !make_directory(name); ++n) name = concat(path, '-', n);
  return begin(name, config, std::move(files));
}

RunDirectory RunDirectory::begin(const std::string& path, std::string_view config,
                                 FileSystem files) {
  try {
    RunDirectory run(path, std::move(files));
    LineFile(path + kLock, 0, run.files_).append(kMarker);
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
  path = without_slashes(std::move(path));
  struct stat info {};
  require<DataError>(::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode),
                     "[resume] expected a run directory, ", path,
                     " is none; check the path, or leave out --resume to begin a new run");
  check_is_run(path);
  return RunDirectory(std::move(path), std::move(files));
}

std::optional<Checkpoint> RunDirectory::checkpoint() const {
  if (!exists(checkpoint_path(path_, kLastCheckpoint))) return std::nullopt;
  return read_checkpoint(path_);
}

bool RunDirectory::untouched() const {
  const auto empty = [&](const char* name) {
    return !exists(path_ + name) || read_file(path_ + name).empty();
  };
  return !exists(path_ + kConfig) && !exists(checkpoint_path(path_, kLastCheckpoint)) &&
         empty(kSteps) && empty(kEvaluations) && std::ranges::all_of(kMeasured, empty);
}

void RunDirectory::write_config(std::string_view config) {
  write_file(path_ + kConfig, config, files_);
}

void RunDirectory::keep(const std::string& name, std::string_view content) {
  const std::string path = concat(path_, '/', name);
  if (!exists(path)) write_file(path, content, files_);
}

template <class Rows>
void RunDirectory::go_on(std::optional<Log>& log, const char* name, Rows& rows) {
  log.emplace(Log{LineFile(path_ + name, rows.bytes, files_), std::move(rows.digest)});
  if (rows.more_lines == 0 && !rows.torn) return;
  const std::string lines = rows.more_lines == 1 ? "1 line" : concat(rows.more_lines, " lines");
  const std::string what =
      rows.more_lines == 0 ? "half a line" : concat(lines, rows.torn ? " and a half" : "");
  dropped_ += concat(dropped_.empty() ? "" : ", ", what, " of ", name + 1);
}

History RunDirectory::cut_back(std::int64_t iteration,
                               const std::map<std::string, std::string>& notes) {
  const auto digest = [&](const char* name) {
    const auto found = notes.find(name + 1);
    return found == notes.end() ? std::string() : found->second;
  };
  auto steps = rows_of(path_ + kSteps, step_of, iteration, [](const StepRow&) { return true; });
  const auto count = static_cast<std::int64_t>(steps.rows.size());
  require<DataError>(count == iteration, "[resume] ", path_, kSteps, ": expected the ", iteration,
                     " steps that the checkpoint follows, found ", count,
                     "; the record does not belong to the checkpoint");
  const std::string altered =
      digest(kSteps).empty() ? "" : first_difference(digest(kSteps), steps.digest);
  require<DataError>(altered.empty(), "[resume] ", path_, kSteps, ": ", altered, kAltered);
  auto evaluations = rows_before(path_ + kEvaluations, evaluation_of, digest(kEvaluations),
                                 [&](const EvalRow& row) { return row.iteration <= iteration; });
  std::array<std::optional<Rows<OperandRow>>, kMeasuredFiles> measured;  // of which: iterations
  for (std::size_t i = 0; i < kMeasuredFiles; ++i) {
    if (exists(path_ + kMeasured[i]))
      measured[i] = rows_before(path_ + kMeasured[i], operand_of, digest(kMeasured[i]),
                                [&](const OperandRow& row) { return row.iteration < iteration; });
  }
  // All of them must be fit to be written to before any is cut.
  const auto open_whole = [&](const char* name, const auto& rows) {
    const LineFile file(path_ + name, rows.bytes + rows.more_bytes, files_);
  };
  open_whole(kSteps, steps);
  open_whole(kEvaluations, evaluations);
  for (std::size_t i = 0; i < kMeasuredFiles; ++i) {
    if (measured[i]) open_whole(kMeasured[i], *measured[i]);
  }
  go_on(steps_, kSteps, steps);
  go_on(evaluations_, kEvaluations, evaluations);
  for (std::size_t i = 0; i < kMeasuredFiles; ++i) {
    if (measured[i]) go_on(measured_[i], kMeasured[i], *measured[i]);
  }
  return {std::move(steps.rows), std::move(evaluations.rows)};
}

void RunDirectory::add(const StepRow& row) { steps_->add(to_line(row)); }
void RunDirectory::add(const EvalRow& row) { evaluations_->add(to_line(row)); }

RunDirectory::Log& RunDirectory::log_of(Measured measured) {
  const auto i = static_cast<std::size_t>(measured);
  if (!measured_[i])
    measured_[i].emplace(Log{LineFile(path_ + kMeasured[i], 0, files_), LineDigest()});
  return *measured_[i];
}

void RunDirectory::add(std::int64_t iteration, const std::vector<OperandQuality>& operands) {
  Log& log = log_of(Measured::operands);
  for (const OperandQuality& quality : operands) log.add(to_line(iteration, quality));
}

void RunDirectory::add_probe(std::int64_t iteration, const Measurements& measured) {
  Log& log = log_of(Measured::probe);
  for (const OperandQuality& quality : measured.probed) log.add(to_line(iteration, quality));
  for (const ProductSums& sums : measured.sums) log.add(to_line(iteration, sums));
}

void RunDirectory::add_updates(std::int64_t iteration, const std::vector<UpdateQuality>& updates) {
  Log& log = log_of(Measured::updates);
  for (const UpdateQuality& quality : updates) log.add(to_line(UpdateRow{iteration, quality}));
}

void RunDirectory::save(Checkpoint checkpoint, const std::string& name) {
  lock_.check();
  const auto keep = [&](std::optional<Log>& log, const char* file) {
    if (!log) return;
    log->file.sync();
    checkpoint.notes[file + 1] = log->digest.text();
  };
  keep(steps_, kSteps);
  keep(evaluations_, kEvaluations);
  for (std::size_t i = 0; i < kMeasuredFiles; ++i) keep(measured_[i], kMeasured[i]);
  write_file(checkpoint_path(path_, name), to_bytes(checkpoint), files_);
}

std::string read_config(const std::string& directory) {
  require<DataError>(exists(directory + kConfig),
                     "[run] expected a run directory with config.json, ", directory,
                     " is none; check the path");
  return read_file(directory + kConfig);
}

std::vector<OperandRow> read_operands(const std::string& directory) {
  return rows_of(directory + kOperands, operand_of, kAll, [](const auto&) { return true; }).rows;
}

History read_history(const std::string& directory) {
  const auto all = [](const auto&) { return true; };
  return {rows_of(directory + kSteps, step_of, kAll, all).rows,
          rows_of(directory + kEvaluations, evaluation_of, kAll, all).rows};
}

std::string checkpoint_after(std::int64_t iteration) { return concat("step-", iteration); }

std::string checkpoint_name(const std::string& text) {
  std::int64_t steps = 0;
  if (text == "last") return kLastCheckpoint;
  if (text == "best") return kBestCheckpoint;
  require<ConfigError>(parse_number(text, steps) && steps > 0,
                       "expected last, best or a number of steps, got '", text, "'");
  return checkpoint_after(steps);
}

Checkpoint read_checkpoint(const std::string& directory, const std::string& name) {
  const std::string path = checkpoint_path(directory, name);
  require<DataError>(name == kLastCheckpoint || exists(path), "[run] ", directory, " has no ", name,
                     ".safetensors: training writes it with --keep ",
                     name == kBestCheckpoint ? "best" : "all",
                     "; leave --checkpoint out for the last");
  try {
    return parse_checkpoint(read_file(path));
  } catch (const DataError& error) {
    throw DataError(concat(error.what(), "\n  while reading ", path));
  }
}

}  // namespace ebb::train
