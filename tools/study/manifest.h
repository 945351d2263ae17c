#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "tools/study/runs.h"
#include "tools/study/study.h"

namespace ebb::study {

/// What study.json says, beside the runs: for reports and for the sweep that goes on. It holds
/// nothing of time, machine or process, so that every shard writes the same bytes.
struct Manifest {
  struct Entry {
    std::string name{};
    KeyValues options{};
    std::vector<std::string> command{};  ///< what one would type
  };
  std::string name{}, program{};
  std::optional<KeyValues> baseline{};
  std::vector<std::string> varied{};
  std::vector<Entry> runs{};
};

Manifest manifest_of(const Study& study, const Expansion& expansion);
std::string to_json(const Manifest& manifest);
/// @throws DataError naming `path` for a text that is none
Manifest parse_manifest(std::string_view text, const std::string& path);

/// Gives runs that an earlier state of the study had their names of then, so that what is finished
/// is found whatever the study varies now. `exists` says whether a run's directory is there.
/// @return what changed, a line each
/// @throws ConfigError if a directory there is of a run that now has other options
std::vector<std::string> keep_names(const Study& study, Expansion& expansion,
                                    const Manifest& before, bool (*exists)(const std::string&));

/// Why a run failed: failures/NAME.json.
struct Failure {
  std::string run{};
  int exit_code = 0;  ///< 128 + the number of a signal
  std::string message{};
};
std::string to_json(const Failure& failure);
/// @throws DataError for a text that is none
Failure parse_failure(std::string_view text);

/// What a sweep came to: the object of --json.
struct Outcome {
  std::int64_t runs = 0, finished = 0, reran = 0, skipped = 0;
  std::vector<Failure> failed{};
  bool interrupted = false;
};
std::string to_json(const Outcome& outcome);

/// Replaces a file that several machines may be writing, with the same content.
void write_shared(const std::string& path, std::string_view content);

}  // namespace ebb::study
