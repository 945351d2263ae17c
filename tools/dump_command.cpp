#include "tools/dump_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "core/text.h"
#include "train/config.h"
#include "train/record.h"

namespace ebb::tools {
namespace {

namespace fs = std::filesystem;

/// A run directory may come from anybody, so it starts no program but Ebb's.
std::string find_program(const std::string& name) {
  require<ConfigError>(name.starts_with("ebb-") && name.find('/') == std::string::npos, "[dump] '",
                       name, "' is none of Ebb's programs; start it yourself, with --dump RUN");
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<fs::path> folders{here, here.parent_path() / "models"};
  const char* const path = std::getenv("PATH");
  for (const std::string& folder : split_at(path == nullptr ? "" : path, ':'))
    folders.emplace_back(folder);
  for (const fs::path& folder : folders) {
    const fs::path file = folder / name;
    if (fs::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0) return file.string();
  }
  throw ConfigError(concat("[dump] there is no ", name, " beside ", (here / "ebb").string(),
                           " or in PATH, which the run was made with; add its folder to PATH"));
}

}  // namespace

void dump(const std::string& run, const std::vector<std::string>& options) {
  const std::string program = find_program(train::parse_config(train::read_config(run)).program);
  std::vector<std::string> words{program, "--dump", run};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  throw DataError(
      concat("[dump] cannot start ", program, ": ", std::generic_category().message(errno)));
}

}  // namespace ebb::tools
