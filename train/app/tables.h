#pragma once

#include <string>
#include <vector>

#include "core/text.h"

namespace ebb::train {

/// A table whose columns are aligned: numbers right, texts left. The first row is the heading.
/// Cells are shown printable.
std::string format_table(std::vector<std::vector<std::string>> rows);

/// Names and values below each other, aligned and printable.
std::string format_facts(std::vector<std::vector<std::string>> rows);

/// With so many decimals, for reading; what must be exact goes through to_text.
std::string format_fixed(double value, int decimals);

/// "12,345,678".
std::string with_separators(uint128 value);

}  // namespace ebb::train
