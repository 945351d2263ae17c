#include "schedules/length.h"

#include "core/error.h"

namespace ebb {

Length Length::parse(std::string_view text) {
  if (text == "rest") return rest();
  Length length;
  const std::size_t digits = parse_rational(text, length.count);
  for (const UnitName& name : kUnitNames) {
    if (digits > 0 && text.substr(digits) == name.suffix) {
      length.unit = name.unit;
      return length;
    }
  }
  throw ConfigError(
      concat("[schedule] expected a length such as 120up, 3ep, 4e4sp, 5e6tok, 20% or rest, got '",
             text, "'"));
}

Rational Length::in_updates(std::int64_t span, const Totals& totals) const {
  const auto known = [](std::int64_t total, std::string_view what) {
    require<ConfigError>(total > 0, "[schedule] a length in ", what, ", but nobody said how many ",
                         what, " there are to an update; ",
                         "write it in updates (up) or in % of the run");
    return total;
  };
  switch (unit) {
    case Unit::updates: return count;
    case Unit::epochs: return count * known(totals.updates_per_epoch, "epochs");
    case Unit::samples: return count / known(totals.samples_per_update, "samples");
    case Unit::tokens: return count / known(totals.tokens_per_update, "tokens");
    case Unit::percent: return count * Rational(span, 100);
    case Unit::rest: break;
  }
  throw ConfigError("[schedule] 'rest' is the length of a part behind '@' and nothing else");
}

std::string to_text(const Length& length) {
  for (const UnitName& name : kUnitNames) {
    if (name.unit == length.unit) return to_text(length.count).append(name.suffix);
  }
  return "rest";
}

}  // namespace ebb
