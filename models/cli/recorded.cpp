#include "models/cli/recorded.h"

#include <algorithm>

#include "core/error.h"
#include "train/loop.h"
#include "train/record.h"

namespace ebb::cli {

using namespace ebb::train;

namespace {

std::string entry_of(const Texts& data, std::string_view name) {
  const auto found = std::ranges::find(data, name, &Texts::value_type::first);
  return found == data.end() ? "" : found->second;
}

}  // namespace

Recorded read_recorded(const std::string& directory, const std::string& program,
                       const std::function<std::optional<Checkpoint>()>& read_checkpoint) {
  Recorded recorded{parse_config(read_config(directory)), {}};
  recorded.checkpoint = read_checkpoint();
  require<DataError>(recorded.config.program == program, "[run] ", directory, " is a run of ", recorded.config.program, ", not of ",
                     program);
  require<DataError>(!recorded.checkpoint || recorded.checkpoint->config == identity(recorded.config), "[run] ", directory,
                     ": config.json is not the configuration that the checkpoint was saved under; restore it");
  return recorded;
}

std::string identity(const RunConfig& config) { return to_json(RunConfig{.program = config.program, .options = config.options}); }

void check_same_data(const RunConfig& recorded, const Texts& now) {
  for (const auto& [name, value] : now) {
    const std::string before = entry_of(recorded.data, name);
    require<DataError>(before == value, "[run] the data are not those of the run: ", name, " is '", value, "' now and was '",
                       before, "'; check --data");
  }
}

TakenParams start_from(const std::string& directory, Texts& data, ParamStore& params) {
  const RunConfig config = parse_config(read_config(directory));
  const Checkpoint checkpoint = read_checkpoint(directory);
  require<DataError>(
      entry_of(config.data, kVocabularyEntry) == entry_of(data, kVocabularyEntry), "[command line] --from ", directory,
      ": its tokens are not those of these data, so what it learnt of them means nothing here; take --data, --unit and "
      "--vocabulary of that run");
  TakenParams result = take_params(checkpoint, params);
  data.emplace_back("from", weights_sha256(checkpoint));
  return result;
}

}  // namespace ebb::cli
