#include "train/app/tables.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/printable.h"
#include "train/options/wrap.h"

namespace ebb::train {
namespace {

// Names of layers and values of options come from files.
void make_printable(std::vector<std::vector<std::string>>& rows) {
  for (std::vector<std::string>& row : rows) {
    for (std::string& cell : row) cell = printable(cell);
  }
}

}  // namespace

std::string format_table(std::vector<std::vector<std::string>> rows) {
  make_printable(rows);
  const auto is_number = [](const std::string& text) {
    return text.find_first_not_of("0123456789,.+-e% ") == std::string::npos &&
           text.find_first_of("0123456789") != std::string::npos;
  };
  std::vector<std::size_t> widths(rows.at(0).size(), 0);
  std::vector<bool> right(widths.size(), true);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t column = 0; column < rows[i].size(); ++column) {
      widths[column] = std::max(widths[column], rows[i][column].size());
      right[column] =
          right[column] && (i == 0 || rows[i][column].empty() || is_number(rows[i][column]));
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string pad(widths[column] - row[column].size(), ' ');
      line += concat(column > 0 ? "  " : "", right[column] ? pad : "", row[column],
                     right[column] ? "" : pad);
    }
    text += line.erase(line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string format_facts(std::vector<std::vector<std::string>> rows, std::size_t columns) {
  make_printable(rows);
  std::size_t width = 0;
  for (const std::vector<std::string>& row : rows) width = std::max(width, row[0].size());
  std::string text;
  for (const std::vector<std::string>& row : rows)
    text += concat(row[0], std::string(width + 2 - row[0].size(), ' '),
                   wrap(row[1], columns, width + 2), '\n');
  return text;
}

std::string format_row(const std::vector<std::string>& fields) {
  std::vector<std::string> shown;
  for (const std::string& field : fields) shown.push_back(printable(field));
  return concat(join_words(shown, "\t"), '\n');
}

std::string format_fixed(double value, int decimals) {
  char buffer[400];  // the largest double has 309 digits before the point
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return buffer;
}

std::string format_short(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4g", value);
  return buffer;
}

std::string format_score(std::string_view metric, double score) {
  const bool share = metric.ends_with("accuracy") || metric.ends_with("_error");
  return share ? concat(format_fixed(100 * score, 2), " %") : format_fixed(score, 4);
}

std::string format_share(double share) { return format_fixed(100 * share, 1) + " %"; }

std::string format_si(double value) {
  constexpr std::array<const char*, 9> kPrefixes{"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
  double scaled = value;
  std::size_t prefix = 0;
  // What would round to 1000 of one prefix is 1 of the next.
  while (scaled >= 999.95 && prefix + 1 < kPrefixes.size()) {
    scaled /= 1000;
    ++prefix;
  }
  return concat(format_fixed(scaled, scaled < 9.9995   ? 3
                                     : scaled < 99.995 ? 2
                                                       : 1),
                ' ', kPrefixes[prefix]);
}

std::string format_bit_ops(uint128 value) {
  if (value < 1000) return concat(value, " BitOPs");
  return concat(format_si(static_cast<double>(value)), "BitOPs");
}

std::string with_separators(uint128 value) {
  std::string digits = to_text(value);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

}  // namespace ebb::train
