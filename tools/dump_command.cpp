#include "tools/dump_command.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/error.h"
#include "tools/study/ask.h"
#include "train/config.h"
#include "train/record.h"

namespace ebb::tools {

void dump(const std::string& run, const std::vector<std::string>& options) {
  const std::string name = train::parse_config(train::read_config(run)).program;
  // A run directory may come from anybody, so it starts no program but Ebb's.
  require<ConfigError>(name.starts_with("ebb-") && name.find('/') == std::string::npos, "[dump] '",
                       name, "' is none of Ebb's programs; start it yourself, with --dump RUN");
  const std::string program = study::find_program(name);
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
