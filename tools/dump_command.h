#pragma once

#include <string>
#include <vector>

namespace ebb::tools {

/// Has the program that made a run write golden vectors of it (train/app/vectors.h), in place of
/// this process. The program is looked for beside this executable, in the models of its build tree
/// and in PATH.
/// @throws DataError if the directory holds no run; ConfigError if the program is none of Ebb's or
/// is not found
[[noreturn]] void dump(const std::string& run, const std::vector<std::string>& options);

}  // namespace ebb::tools
