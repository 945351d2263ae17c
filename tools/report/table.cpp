#include "tools/report/table.h"

#include <cmath>

#include "core/printable.h"
#include "core/text.h"
#include "train/app/tables.h"

namespace ebb::report {
namespace {

std::string field(const std::string& text, char separator) {
  std::string shown = printable(text);
  if (separator != ',' || shown.find_first_of(",\"") == std::string::npos) return shown;
  std::string quoted = "\"";
  for (const char c : shown) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace

Cell Cell::number(double value, int decimals) {
  return {.text = std::isfinite(value) ? train::format_fixed(value, decimals) : to_text(value),
          .value = value};
}

std::string to_lines(const Table& table, char separator) {
  std::string text;
  for (std::size_t i = 0; i < table.heading.size(); ++i)
    text += (i > 0 ? std::string(1, separator) : "") + field(table.heading[i], separator);
  text += '\n';
  for (const std::vector<Cell>& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) text += separator;
      text += row[i].value ? to_text(*row[i].value) : field(row[i].text, separator);
    }
    text += '\n';
  }
  return text;
}

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : printable(text)) {
    switch (c) {
      case '&': html += "&amp;"; break;
      case '<': html += "&lt;"; break;
      case '>': html += "&gt;"; break;
      case '"': html += "&quot;"; break;
      case '\'': html += "&#39;"; break;
      default: html += c;
    }
  }
  return html;
}

std::string to_html(const Table& table, std::string_view caption) {
  std::string html = concat("<table><caption>", escaped(caption), "</caption><thead><tr>");
  for (const std::string& name : table.heading)
    html += concat("<th scope=\"col\">", escaped(name), "</th>");
  html += "</tr></thead><tbody>\n";
  for (const std::vector<Cell>& row : table.rows) {
    html += "<tr>";
    for (const Cell& cell : row) {
      if (cell.value)
        html += concat("<td class=\"n\" data-value=\"", *cell.value, "\">", escaped(cell.text));
      else
        html += concat("<td>", escaped(cell.text));
      html += "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table>";
}

}  // namespace ebb::report
