#pragma once

#include <iosfwd>

namespace ebb::tools {

/// The formats that have a name, one per line, with what their numbers reach; of block formats
/// those of an element. @throws DataError if `out` cannot be written
void print_formats(bool json, std::ostream& out);

}  // namespace ebb::tools
