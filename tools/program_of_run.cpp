#include "tools/program_of_run.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "tools/study/ask.h"
#include "train/config.h"
#include "train/record.h"

namespace ebb::tools {

void become_program(const std::string& name, const std::string& command,
                    std::vector<std::string> words) {
  const std::string program = study::find_program(name);
  words.insert(words.begin(), program);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  throw DataError(concat("[", command, "] cannot start ", program, ": ",
                         std::generic_category().message(errno)));
}

void become_program_of(const std::string& run, const std::string& command,
                       std::vector<std::string> words) {
  const std::string name = train::parse_config(train::read_config(run)).program;
  // A run directory may come from anybody, so it starts no program but Ebb's.
  require<ConfigError>(
      name.starts_with("ebb-") && name.find('/') == std::string::npos, "[", command, "] '", name,
      "' is none of Ebb's programs; start it yourself, with ", words.at(0), " RUN");
  become_program(name, command, std::move(words));
}

}  // namespace ebb::tools
