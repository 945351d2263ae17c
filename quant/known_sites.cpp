#include "quant/known_sites.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace ebb {
namespace {

std::vector<std::string> names_and_tags(const CostLedger& ledger) {
  std::vector<std::string> names;
  for (const CostLedger::Row& row : ledger.rows()) names.push_back(row.site.name);
  for (const CostLedger::Row& row : ledger.rows()) {
    for (const std::string& tag : row.site.tags) {
      if (std::find(names.begin(), names.end(), tag) == names.end()) names.push_back(tag);
    }
  }
  return names;
}

}  // namespace

void require_known_sites(const PrecisionPlan& plan, const CostLedger& ledger,
                         std::span<const std::string> optional) {
  const auto any = [&](const auto& is_meant) {
    return std::any_of(ledger.rows().begin(), ledger.rows().end(), is_meant);
  };
  const auto need = [&](bool known, const std::string& name) {
    if (known || std::find(optional.begin(), optional.end(), name) != optional.end()) return;
    throw ConfigError(concat("[plan] ", unknown_word("site", name, names_and_tags(ledger))));
  };
  for (const PrecisionPlan::Rule& rule : plan.rules)
    need(any([&](const CostLedger::Row& row) { return rule.is_for(row.site); }), rule.pattern);
}

}  // namespace ebb
