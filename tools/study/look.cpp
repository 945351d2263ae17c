#include "tools/study/look.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/monitor.h"
#include "train/record.h"

namespace ebb::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void check_same_run(const std::string& directory, const train::RunConfig& recorded,
                    std::string_view program, const Run& run) {
  const train::Options known;
  require<DataError>(recorded.program == program_name(program), directory, " is a run of ",
                     recorded.program, ", not of ", program_name(program),
                     "; give the study another out, or move that directory away");
  for (const Setting& setting : run.options) {
    if (!shapes_results(known, setting.option)) continue;
    const std::string* text = train::find_text(recorded.options, setting.option);
    const train::OptionSpec* spec = known.find(setting.option);
    // A run of an earlier version, without that option, was as by default.
    const std::string before = text != nullptr ? *text : spec != nullptr ? spec->fallback : "";
    require<DataError>(spelling(before) == spelling(setting.text), directory, " is another run: --",
                       setting.option, " is '", before, "' there and '", setting.text,
                       "' in the study; give the study another out, or move that directory away");
  }
}

// Whether the evaluations up to a step say that the run ended there by its --patience.
bool out_of_patience(const std::string& directory, const train::RunConfig& config,
                     std::int64_t steps) {
  std::int64_t patience = 0;
  const std::string* text = train::find_text(config.options, "patience");
  if (text == nullptr || !parse_number(*text, patience)) return false;
  train::History history = train::read_history(directory);
  std::erase_if(history.evaluations,
                [&](const train::EvalRow& row) { return row.iteration > steps; });
  train::Monitor monitor{.split = train::monitored_split(history), .patience = patience};
  monitor.see(history);
  return monitor.exhausted();
}

// The last bytes of a file that grows, from the first whole line in them to the last; none if there
// is nothing new.
std::optional<std::string> new_tail(const std::string& path, std::int64_t& size_read) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  struct stat info {};
  const bool fresh = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size != size_read;
  std::array<char, 8192> buffer{};
  const off_t from = std::max<off_t>(0, info.st_size - std::ssize(buffer));
  const ssize_t count = fresh ? ::pread(fd, buffer.data(), buffer.size(), from) : 0;
  ::close(fd);
  if (count <= 0) return std::nullopt;
  size_read = info.st_size;
  std::string text(buffer.data(), static_cast<std::size_t>(count));
  text.erase(text.rfind('\n') + 1);  // half a line, as is usual while it is being written
  if (from > 0) text.erase(0, text.find('\n') + 1);
  return text;
}

std::vector<Json> objects_of(const std::string& lines) {
  std::vector<Json> objects;
  for (const std::string& line : split_at(lines, '\n')) {
    Json json = Json::parse(line, nullptr, false);
    if (json.is_object()) objects.push_back(std::move(json));
  }
  return objects;
}

std::string bits_text(const Json& bits) {
  std::vector<std::string> roles;
  for (const char* role : {"weight", "activation", "gradient"}) {
    if (bits.contains(role) && bits[role].is_string()) roles.push_back(bits[role]);
  }
  const bool all_same =
      std::ranges::adjacent_find(roles, std::ranges::not_equal_to()) == roles.end();
  return roles.empty() ? "" : all_same ? roles[0] : join_words(roles, "/");
}

}  // namespace

Stage look(const std::string& directory, std::string_view program, const Run& run) {
  if (!fs::exists(fs::symlink_status(directory))) return Stage::absent;
  train::RunConfig config;
  try {
    config = train::parse_config(train::read_config(directory));
  } catch (const DataError&) {
    return Stage::begun;  // nothing yet, or damaged: the program knows, and says what it needs
  }
  check_same_run(directory, config, program, run);
  const std::string* iterations = train::find_text(config.resolved, "iterations");
  if (iterations == nullptr || !fs::exists(directory + "/checkpoint.safetensors"))
    return Stage::begun;
  try {
    const train::Checkpoint checkpoint = train::read_checkpoint(directory);
    const bool evaluated = checkpoint.note("evaluation").empty();  // after its last step
    const bool over = to_text(checkpoint.iteration) == *iterations ||
                      out_of_patience(directory, config, checkpoint.iteration);
    return over && evaluated ? Stage::finished : Stage::begun;
  } catch (const DataError&) {
    return Stage::begun;
  }
}

bool is_written_to(const std::string& directory) {
  const int fd =
      ::open((directory + "/lock").c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return locked;
}

void remove_stillborn(const std::string& directory) {
  const std::string lock = directory + "/lock";
  std::error_code error;
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(directory, error))
    entries.push_back(entry.path());
  if (error || entries.size() > 1) return;
  if (entries.size() == 1) {
    if (entries[0] != lock || fs::file_size(lock, error) != 0 || error) return;
    fs::remove(lock, error);
  }
  fs::remove(directory, error);
}

std::int64_t saved_steps(const std::string& directory) {
  try {
    return train::read_checkpoint(directory).iteration;
  } catch (const Error&) {
    return 0;
  }
}

const Position& Follower::position() {
  try {
    if (position_.iterations == 0) {
      const train::RunConfig config = train::parse_config(train::read_config(directory_));
      const std::string* text = train::find_text(config.resolved, "iterations");
      if (text != nullptr) parse_number(*text, position_.iterations);
    }
    if (const auto lines = new_tail(directory_ + "/steps.jsonl", steps_read_)) {
      double sum = 0;
      const std::vector<Json> steps = objects_of(*lines);
      for (const Json& step : steps) sum += step.at("loss").is_null() ? 0.0 : double(step["loss"]);
      if (!steps.empty()) {
        position_.done = steps.back().at("iteration").get<std::int64_t>() + 1;
        position_.loss = sum / static_cast<double>(steps.size());
        position_.bits = bits_text(steps.back().at("bits"));
      }
    }
    if (const auto lines = new_tail(directory_ + "/evals.jsonl", evaluations_read_)) {
      const std::vector<Json> rows = objects_of(*lines);
      if (!rows.empty() && rows.back().at("score").is_number()) {
        position_.metric = rows.back().at("metric").get<std::string>();
        position_.score = rows.back().at("score").get<double>();
      }
    }
  } catch (const std::exception&) {
    // A record that is no record is the program's to refuse; here it is only not shown.
  }
  return position_;
}

double seconds_of(const std::string& directory) {
  const train::History history = train::read_history(directory);
  double seconds = 0;
  for (const train::StepRow& row : history.steps) seconds += row.seconds;
  for (const train::EvalRow& row : history.evaluations) seconds += row.seconds;
  return seconds;
}

Prediction parse_prediction(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    Prediction prediction{.iterations = json.at("iterations").get<std::int64_t>(),
                          .bit_ops = parse_uint128(json.at("bit_ops").get<std::string>()),
                          .relative_cost = json.at("relative_cost").get<double>(),
                          .cost_reference = json.at("cost_reference").get<std::string>(),
                          .lr_schedule = json.at("lr_schedule").get<std::string>()};
    prediction.macs = json.at("macs").get<double>() * json.at("examples_per_step").get<double>() *
                      static_cast<double>(prediction.iterations);
    return prediction;
  } catch (const nlohmann::json::exception&) {
    throw DataError("its --dry-run --json is not that of this version of Ebb");
  }
}

}  // namespace ebb::study
