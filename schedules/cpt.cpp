#include "schedules/cpt.h"

#include <algorithm>

#include "core/error.h"
#include "schedules/range.h"

namespace ebb {
namespace {

enum class Shape : std::uint8_t { fixed, full, repeated, vertical, horizontal };

struct Named {
  std::string_view name;
  Shape shape;
  Schedule (*profile)();
  Savings savings;
};

Schedule steep_exponential() { return schedules::exponential(4); }
Schedule steep_rex() { return schedules::rex(0.9); }

// For the symmetric profiles both mirrors coincide, so C and L have one triangular schedule each.
constexpr Named kNamed[] = {{"static", Shape::fixed, schedules::constant, Savings::none},
                            {"fp32", Shape::full, schedules::constant, Savings::none},
                            {"CR", Shape::repeated, schedules::cosine, Savings::medium},
                            {"LR", Shape::repeated, schedules::linear, Savings::medium},
                            {"ER", Shape::repeated, steep_exponential, Savings::small},
                            {"RR", Shape::repeated, steep_rex, Savings::large},
                            {"CT", Shape::vertical, schedules::cosine, Savings::medium},
                            {"LT", Shape::vertical, schedules::linear, Savings::medium},
                            {"ETV", Shape::vertical, steep_exponential, Savings::medium},
                            {"ETH", Shape::horizontal, steep_exponential, Savings::small},
                            {"RTV", Shape::vertical, steep_rex, Savings::medium},
                            {"RTH", Shape::horizontal, steep_rex, Savings::large}};

const Named& find(std::string_view name) {
  const auto found = std::find_if(std::begin(kNamed), std::end(kNamed),
                                  [&](const Named& known) { return known.name == name; });
  require<ConfigError>(
      found != std::end(kNamed), "[schedule] ",
      found == std::end(kNamed) ? unknown_word("schedule", name, precision_schedule_names()) : "");
  return *found;
}

}  // namespace

std::vector<std::string> precision_schedule_names() {
  std::vector<std::string> names;
  for (const Named& known : kNamed) names.emplace_back(known.name);
  return names;
}

Savings savings_of(std::string_view name) { return find(name).savings; }

Schedule precision_schedule(std::string_view name, const CyclicPrecision& settings) {
  const std::int64_t n = settings.cycles;
  const int low = settings.min_bits, high = settings.max_bits;
  const Named& known = find(name);
  require<ConfigError>(low >= 1 && high <= 16, "[schedule] expected widths from 1 to 16 bits, got ",
                       low, " to ", high);
  require<ConfigError>(low <= high, "[schedule] expected min-bits <= max-bits, got ", low, " and ",
                       high);
  require<ConfigError>(n >= 1, "[schedule] expected at least 1 cycle, got ", n);
  const auto between = [&](const Schedule& cycles) {
    return schedules::round(schedules::ramp(low, high, cycles));
  };
  switch (known.shape) {
    case Shape::fixed: return schedules::number(high);
    case Shape::full: return schedules::named("fp32");
    case Shape::repeated: return between(schedules::cycle(n, known.profile(), settings.length));
    case Shape::vertical:
      return between(schedules::zigzag(n, Mirror::vertical, known.profile(), settings.length));
    case Shape::horizontal: break;
  }
  return between(schedules::zigzag(n, Mirror::horizontal, known.profile(), settings.length));
}

PrecisionCost precision_cost(const Bound& bits, int gradient_bits, std::uint64_t reference_cost) {
  const auto g = static_cast<std::uint64_t>(gradient_bits);
  uint128 sum = 0, cost = 0;
  for (const auto& [first, updates, value] : segments_of(bits)) {
    const auto q = static_cast<std::uint64_t>(value.bits()),
               n = static_cast<std::uint64_t>(updates);
    sum += n * q;
    cost += n * (q * q + 2 * q * (value.named == Format::fp32() ? q : g));
  }
  const auto updates = static_cast<double>(bits.updates());
  return {.mean_bits = static_cast<double>(sum) / updates,
          .relative = static_cast<double>(cost) / (updates * static_cast<double>(reference_cost))};
}

std::vector<std::string> precision_warnings(const Bound& bits, int max_bits) {
  std::vector<std::string> warnings = bits.warnings();
  int peak = 0;
  halve(bits, 0, bits.updates() - 1,
        [&](std::int64_t first, std::int64_t last, const ValueRange& range) {
          if (peak >= max_bits || (range.is_number() && range.high <= peak)) return true;
          if (first < last && !range.is_one()) return false;
          peak = std::max(peak, bits.value(first).bits());
          return true;
        });
  if (peak < max_bits) {
    warnings.push_back(concat("the schedule never reaches ", max_bits,
                              " bits: its cycles are too short for the profile; the run peaks at ",
                              peak, " and ends at ", bits.value(bits.updates() - 1).bits(),
                              " bits"));
  }
  return warnings;
}

}  // namespace ebb
