#pragma once

#include <iosfwd>

namespace CLI {
class App;
}

namespace ebb::tools {

/// Adds `inspect RUN`, which shows what a run directory tells: accuracy, cost, time, and where the bit-operations went.
void add_inspect_command(CLI::App& app, std::ostream& out);

}  // namespace ebb::tools
