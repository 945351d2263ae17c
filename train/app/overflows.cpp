#include "train/app/overflows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/text.h"
#include "train/app/report.h"
#include "train/app/tables.h"

namespace ebb::train {
namespace {

constexpr std::size_t kSitesNamed = 3;  // in a line of text

}  // namespace

std::string format_overflows(const CostLedger& ledger) {
  std::vector<CostLedger::Row> rows;
  uint128 elsewhere = ledger.overflow_events();
  for (const CostLedger::Row& row : ledger.rows()) {
    if (row.overflow_events() > 0) rows.push_back(row);
  }
  std::ranges::stable_sort(
      rows, [](const auto& a, const auto& b) { return a.overflow_events() > b.overflow_events(); });
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < std::min(rows.size(), kSitesNamed); ++i) {
    parts.push_back(concat(rows[i].site.name, ' ', with_separators(rows[i].overflow_events())));
    elsewhere -= rows[i].overflow_events();
  }
  if (!parts.empty() && elsewhere > 0)
    parts.push_back(concat("elsewhere ", with_separators(elsewhere)));
  return concat(with_separators(ledger.overflow_events()), parts.empty() ? "" : ": ",
                join_words(parts, ", "));
}

std::string overflows_json(const CostLedger& ledger) {
  nlohmann::ordered_json sites = nlohmann::ordered_json::object();
  for (const CostLedger::Row& row : ledger.rows()) {
    for (const Product product : kAllProducts) {
      const uint128 events = row.cells[static_cast<std::size_t>(product)].overflow_events;
      if (events > 0) sites[row.site.name][to_text(product)] = to_text(events);
    }
  }
  return sites.dump();
}

}  // namespace ebb::train
