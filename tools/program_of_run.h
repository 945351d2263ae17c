#pragma once

#include <string>
#include <vector>

namespace ebb::tools {

/// Becomes a program of Ebb, in place of this process, with these words on its command line. It is
/// looked for beside this executable, in the models of its build tree and in PATH; a path works
/// too.
/// @throws ConfigError if it is not found; DataError if it cannot be started
[[noreturn]] void become_program(const std::string& name, const std::string& command,
                                 std::vector<std::string> words);
/// The same with the program that a run is of, since only that knows the network. `command` is for
/// messages.
/// @throws ConfigError if the run is none of Ebb's programs; DataError if there is no run, or the
/// program cannot be started
[[noreturn]] void become_program_of(const std::string& run, const std::string& command,
                                    std::vector<std::string> words);

}  // namespace ebb::tools
