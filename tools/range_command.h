#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "tools/report/range.h"

namespace ebb::tools {

struct RangeOptions {
  std::string program;
  std::vector<std::string> options;  ///< of the program, as on its command line
  report::RangeSettings settings{};
  std::string out = {};  ///< run directory; "": runs/range-PROGRAM-ARCH
  bool json = false;
};

/// A precision range test: trains with forward bits that step up from the lowest, at the learning
/// rates of the real run's first updates, and says from which width on training works. Where `out`
/// holds the same test it goes on, or is judged anew.
/// @returns an exit code: 0, or 3 if it was interrupted and saved
/// @throws ConfigError for options that are wrong; DataError if the program fails
int range_test(const RangeOptions& options, std::ostream& out, std::ostream& err);

}  // namespace ebb::tools
