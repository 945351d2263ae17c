#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"

namespace ebb::train {

/// A table whose columns are aligned: numbers right, texts left. The first row is the heading.
/// Cells are shown printable.
std::string format_table(std::vector<std::vector<std::string>> rows);

/// Names and values below each other, aligned and printable; values of more than so many columns
/// in all go on in the next line.
std::string format_facts(std::vector<std::vector<std::string>> rows, std::size_t columns = 10'000);

/// Fields with tabs between them, each printable, and a line feed.
std::string format_row(const std::vector<std::string>& fields);

/// With so many decimals, for reading; what must be exact goes through to_text.
std::string format_fixed(double value, int decimals);

/// To four digits, for reading: "0.003", "1.234e-05".
std::string format_short(double value);

/// A score as people say it: an accuracy in percent, "93.21 %", others as they are, "1.8342".
std::string format_score(std::string_view metric, double score);

/// A share of a whole: "66.7 %".
std::string format_share(double share);

/// "12,345,678".
std::string with_separators(uint128 value);

/// A number with the prefix of its unit: "10.37 k", "1.235 T".
std::string format_si(double value);
/// Bit-operations for reading: "864 BitOPs", "10.37 kBitOPs", "1.235 TBitOPs". Files have every
/// digit.
std::string format_bit_ops(uint128 value);

}  // namespace ebb::train
