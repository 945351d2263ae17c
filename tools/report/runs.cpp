#include "tools/report/runs.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "models/gnn/network.h"
#include "train/files.h"
#include "train/options/options.h"
#include "train/tasks/graphs.h"
#include "train/tasks/images.h"
#include "train/tasks/pairs.h"
#include "train/tasks/text.h"

namespace ebb::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A directory to read, and what is known of it.
struct Source {
  std::string name, directory;
  std::vector<std::string> command{};
};

bool looks_like_run(const fs::path& path) {
  for (const char* file : {"config.json", "steps.jsonl", "checkpoint.safetensors"}) {
    if (fs::exists(path / file)) return true;
  }
  return false;
}

std::string last_part(const std::string& directory) {
  const fs::path path = fs::path(directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

KeyValues options_of(const Json& object) {
  KeyValues options;
  for (const auto& [name, value] : object.items()) options.emplace_back(name, text_of(value));
  return options;
}

/// What `ebb sweep` says of a run that failed; none if it says nothing.
std::optional<std::string> failure_of(const fs::path& folder, const std::string& run) {
  const fs::path file = folder / "failures" / (run + ".json");
  if (!fs::exists(file)) return std::nullopt;
  try {
    const Json json = Json::parse(train::read_file(file.string()));
    return concat(json.at("message").get<std::string>(), " (exit code ",
                  json.at("exit_code").get<std::int64_t>(), ")");
  } catch (const nlohmann::json::exception&) {
    return concat(file.string(), " is no record of a failure");
  }
}

void add_study(const fs::path& folder, Collection& all, std::vector<Source>& sources) {
  constexpr std::int64_t kStudyFormat = 1;
  const Json study = Json::parse(train::read_file((folder / "study.json").string()));
  const std::int64_t format = study.at("format").get<std::int64_t>();
  require<DataError>(format == kStudyFormat, "[report] study.json has the format ", format,
                     ", this version of Ebb reads ", kStudyFormat,
                     "; use the version that wrote it");
  if (all.title.empty()) all.title = study.at("name").get<std::string>();
  const Json baseline = study.value("baseline", Json());
  if (baseline.is_object() && !all.baseline) all.baseline = options_of(baseline);
  for (const Json& run : study.at("runs")) {
    const std::string name = run.at("name").get<std::string>();
    const std::string directory = (folder / name).string();
    if (const auto message = failure_of(folder, name)) all.failures.push_back({name, *message});
    if (fs::is_directory(directory))
      sources.push_back({name, directory, run.value("command", std::vector<std::string>{})});
    else if (all.failures.empty() || all.failures.back().name != name)
      ++all.waiting;
  }
}

void add_folder(const fs::path& folder, std::vector<Source>& sources) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && looks_like_run(entry.path())) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  for (const fs::path& path : found) sources.push_back({path.filename().string(), path.string()});
}

void add_sources(const std::string& given, Collection& all, std::vector<Source>& sources) {
  const fs::path path = given;
  require<DataError>(fs::is_directory(path), "[report] expected a run directory or a folder of ",
                     "runs, ", given, " is none; check the path");
  const std::size_t before = sources.size();
  if (fs::exists(path / "study.json")) {
    try {
      return add_study(path, all, sources);
    } catch (const nlohmann::json::exception&) {
      all.failures.push_back(
          {last_part(given), "study.json is not that of a study; restore it", true});
      sources.resize(before);
    } catch (const DataError& error) {
      all.failures.push_back({last_part(given), error.what(), true});
    }
    return add_folder(path, sources);
  }
  if (looks_like_run(path)) {
    sources.push_back({last_part(given), given});
    return;
  }
  add_folder(path, sources);
  if (sources.size() == before)
    all.failures.push_back({last_part(given), "there is no run in this folder", true});
}

/// The same directory counts once; the same name of another is made longer.
void make_unique(std::vector<Source>& sources) {
  std::set<fs::path> seen;
  std::erase_if(sources, [&](const Source& source) {
    return !seen.insert(fs::weakly_canonical(source.directory)).second;
  });
  std::map<std::string, int> count;
  for (const Source& source : sources) ++count[source.name];
  for (Source& source : sources) {
    if (count[source.name] > 1) source.name = source.directory;
  }
}

double decibels_of(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::infinity();
}

QualityRow quality_row(const Json& line) {
  return {.iteration = line.at("iteration").get<std::int64_t>(),
          .site = line.at("site").get<std::string>(),
          .role = line.at("role").get<std::string>(),
          .format = text_of(line.at("format")),
          .at_ends = line.at("at_ends").get<double>(),
          .zeros = line.at("zeros").get<double>(),
          .sqnr_db = decibels_of(line.at("sqnr_db"))};
}

ProbeRow probe_row(const Json& line) {
  ProbeRow row{.iteration = line.at("iteration").get<std::int64_t>(),
               .site = line.at("site").get<std::string>(),
               .what = line.at(line.contains("product") ? "product" : "role").get<std::string>(),
               .format = text_of(line.at("format")),
               .of_sums = line.contains("product")};
  if (row.of_sums) {
    row.sums = line.at("sums").get<double>();
    row.sum_bits = line.at("sum_bits").get<double>();
    row.overflows = options_of(line.at("overflows"));
  } else {
    row.at_ends = line.at("at_ends").get<double>();
    row.zeros = line.at("zeros").get<double>();
    row.underflow = line.at("underflow").get<double>();
    row.sqnr_db = decibels_of(line.at("sqnr_db"));
  }
  return row;
}

/// The rows of a file that a run may have; half a line at its end is none.
template <class Row>
std::vector<Row> read_rows(const std::string& path, Row (*row_of)(const Json&)) {
  std::vector<Row> rows;
  if (!fs::exists(path)) return rows;
  const std::string text = train::read_file(path);
  const std::string_view view = text;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = view.find('\n', begin)) != std::string::npos; begin = end + 1) {
    try {
      rows.push_back(row_of(Json::parse(view.substr(begin, end - begin))));
    } catch (const nlohmann::json::exception&) {
      throw DataError(concat("[record] ", path, ", line ", rows.size() + 1,
                             " is no line of a record; restore the file"));
    }
  }
  return rows;
}

std::optional<RangeSettings> read_range(const std::string& directory) {
  const std::string path = directory + kRangeFile;
  if (!fs::exists(path)) return std::nullopt;
  return parse_range_settings(train::read_file(path));
}

/// Options that a command may leave out where they are as by default, and some must, since they
/// have no effect then. Others may have a default of the architecture, and are said.
std::vector<train::OptionSpec> known_options() {
  std::vector<train::OptionSpec> known = train::common_options();
  std::ranges::move(train::image_options(), std::back_inserter(known));
  for (auto options :
       {train::text_options(), train::pair_options(), train::graph_options(), gnn_options()}) {
    std::erase_if(options, [](const train::OptionSpec& spec) { return spec.conflict == nullptr; });
    std::ranges::move(options, std::back_inserter(known));
  }
  return known;
}

std::vector<std::string> command_of(const train::RunConfig& config,
                                    const std::vector<train::OptionSpec>& known) {
  std::vector<std::string> words{config.program};
  const std::string* const bits = train::find_text(config.options, "bits");
  const bool has_bits = bits != nullptr && !bits->empty();
  for (const auto& [name, text] : config.options) {
    const auto spec = std::ranges::find(known, name, &train::OptionSpec::name);
    const bool default_text = spec != known.end() && spec->fallback == text;
    const bool telling = name == "seed" || (name == "schedule" && !has_bits);
    if (text.empty() || text == "false" || name == "preset" || (default_text && !telling)) continue;
    words.push_back("--" + name);
    if (text != "true") words.push_back(text);
  }
  return words;
}

struct Read {
  std::optional<Run> run{};
  std::string failure{};
};

Read read_one(const Source& source, const train::CostChoice& choice) {
  try {
    Run run{.name = source.name,
            .record = train::inspect(source.directory, choice),
            .command = source.command,
            .operands = read_rows(source.directory + "/operands.jsonl", quality_row),
            .probe = read_rows(source.directory + "/probe.jsonl", probe_row),
            .range = read_range(source.directory)};
    const std::int64_t saved = run.record.saved_at.value_or(0);
    require<DataError>(saved <= run.steps(), "[record] ", source.directory,
                       "/steps.jsonl: expected the ", saved,
                       " steps that the checkpoint follows, found ", run.steps(),
                       "; lines are missing, restore the file");
    return {.run = std::move(run)};
  } catch (const std::exception& error) {
    return {.failure = error.what()};
  }
}

/// What is not chosen is that of the first run that can be read.
train::CostChoice common_costs(const std::vector<Source>& sources, train::CostChoice choice) {
  for (const Source& source : sources) {
    try {
      const CostBasis basis =
          train::cost_basis(train::parse_config(train::read_config(source.directory)), choice);
      return {basis.reference, basis.model};
    } catch (const Error&) {
      continue;  // it will be a failure
    }
  }
  return choice;
}

/// One configuration and seed has one result, so another run of it would count it twice.
void drop_doubled(Collection& all) {
  std::map<std::string, std::string> seen;
  std::erase_if(all.runs, [&](const Run& run) {
    const train::RunConfig same{.program = run.record.config.program,
                                .options = run.record.config.options};
    const auto [entry, fresh] = seen.emplace(train::to_json(same), run.name);
    if (!fresh)
      all.failures.push_back({run.name, concat("it has program, options and seed of ",
                                               entry->second, ", which counts once")});
    return !fresh;
  });
}

}  // namespace

std::string Run::option(std::string_view key) const {
  if (key == "program") return record.config.program;
  const std::string* const text = train::find_text(record.config.options, key);
  return text == nullptr ? "" : *text;
}

std::string Run::resolved(std::string_view key) const {
  const std::string* const text = train::find_text(record.config.resolved, key);
  return text == nullptr ? "" : *text;
}

std::int64_t Run::planned_steps() const {
  std::int64_t steps = 0;
  return parse_number(resolved("iterations"), steps) ? steps : 0;
}

double Run::seconds() const {
  double total = 0;
  for (const train::StepRow& row : record.history.steps) total += row.seconds;
  for (const train::EvalRow& row : record.history.evaluations) total += row.seconds;
  return total;
}

const train::EvalRow* Run::last(std::string_view split) const {
  const train::EvalRow* found = nullptr;
  for (const train::EvalRow& row : record.history.evaluations) {
    if (row.split == split) found = &row;
  }
  return found;
}

Collection read_runs(std::span<const std::string> directories, const train::CostChoice& choice) {
  Collection all;
  std::vector<Source> sources;
  for (const std::string& directory : directories) add_sources(directory, all, sources);
  make_unique(sources);
  const train::CostChoice costs = common_costs(sources, choice);
  std::vector<Read> read(sources.size());
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < sources.size(); ++i) read[i] = read_one(sources[i], costs);
  const std::vector<train::OptionSpec> known = known_options();
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!read[i].run) {
      all.failures.push_back({sources[i].name, read[i].failure, true});
      continue;
    }
    Run& run = *read[i].run;
    if (run.command.empty()) run.command = command_of(run.record.config, known);
    all.runs.push_back(std::move(run));
  }
  drop_doubled(all);
  require<DataError>(!all.runs.empty() || all.waiting > 0, "[report] none of the ",
                     all.failures.size(), " directories holds a run that can be read; the first, ",
                     all.failures.empty() ? "" : all.failures[0].name, ": ",
                     all.failures.empty() ? "" : all.failures[0].message);
  return all;
}

std::vector<std::string> differing_options(std::span<const Run> runs) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name, const auto& text_of_run) {
    const bool differs = std::ranges::any_of(
        runs, [&](const Run& run) { return text_of_run(run) != text_of_run(runs[0]); });
    if (differs && std::ranges::find(names, name) == names.end()) names.push_back(name);
  };
  add("program", [](const Run& run) { return run.record.config.program; });
  for (const Run& run : runs) {
    for (const auto& [name, text] : run.record.config.options) {
      if (name != "seed") add(name, [&name = name](const Run& each) { return each.option(name); });
    }
  }
  return names;
}

std::string shell_line(std::span<const std::string> words) {
  std::string line;
  for (const std::string& word : words) {
    constexpr std::string_view plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
    line += line.empty() ? "" : " ";
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace ebb::report
