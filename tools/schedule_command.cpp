#include "tools/schedule_command.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ostream>

#include "core/error.h"
#include "quant/ledger.h"
#include "schedules/cpt.h"
#include "schedules/range.h"

namespace ebb::tools {
namespace {

/// Whole numbers as integers, reals with 17 significant digits, whatever the locale.
std::string digits(double value) {
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::general, 17)
                       .ptr;
  return {buffer.data(), end};
}

Schedule schedule_of(const ScheduleOptions& options) {
  require<ConfigError>(options.name.empty() != options.expression.empty(),
                       "[schedule] expected one of --name and --expr");
  if (!options.expression.empty()) return Schedule::parse(options.expression);
  const CycleLength length =
      options.period == "floor" ? CycleLength::floor : CycleLength::floor_plus_one;
  return precision_schedule(options.name,
                            {options.cycles, options.min_bits, options.max_bits, length});
}

/// The schedule of one member, where it has groups.
Bound bound_for(const ScheduleOptions& options, const Schedule& schedule) {
  std::vector<std::string> names = schedule.group_names();
  names.emplace_back("*");
  require<ConfigError>(options.group || names.size() == 1,
                       "[schedule] the expression has groups; say whose values are wanted: ",
                       "--group with one of ", join_words(names));
  if (!options.group) return schedule.bind(options.iterations);
  require<ConfigError>(names.size() > 1, "[schedule] --group ", *options.group,
                       ": the expression has no group{...}, its values are those of every layer; "
                       "leave --group out");
  require<ConfigError>(
      std::find(names.begin(), names.end(), *options.group) != names.end(),
      "[schedule] --group: ", unknown_word("part of group{...}", *options.group, names),
      "; give the part that the layer belongs to, * if none names it");
  return schedule.bind(Totals{.updates = options.iterations}, {}, *options.group);
}

/// A schedule of bits has a width at every iteration. A learning rate that happens to be 1
/// throughout must not pass for one, unless
/// --max-bits says that it is.
bool is_bits(const ScheduleOptions& options, const Schedule& schedule, const Bound& bound) {
  if (!options.name.empty()) return true;
  if (!schedule.is_whole() && !options.max_bits_given) return false;
  const auto is_width = [](double number) {
    return number >= 1 && number <= 16 && number == static_cast<int>(number);
  };
  bool all = true, ones = !options.max_bits_given;
  halve(bound, 0, bound.updates() - 1,
        [&](std::int64_t first, std::int64_t last, const ValueRange& range) {
          if (!all) return true;
          ones = ones && range.is_number() && range.low == 1 && range.high == 1;
          if (schedule.is_whole() && range.is_number() && is_width(std::ceil(range.low)) &&
              is_width(std::floor(range.high)))
            return true;
          if (first < last && !range.is_one()) return false;
          const Value value = bound.value(first);
          all = !value.is_number() || is_width(value.number);
          return true;
        });
  return all && !ones;
}

/// Costs are of all operands of a product, and not of a role that has a part of its own.
bool names_roles(const Schedule& schedule) {
  const std::vector<std::string> names = schedule.group_names();
  return std::ranges::any_of(names, [](const std::string& name) {
    const std::string end = name.substr(name.rfind('.') + 1);
    return end == to_text(Role::weight) || end == to_text(Role::activation) ||
           end == to_text(Role::gradient);
  });
}

int width(const std::string& text) {
  Format format;
  require<ConfigError>(find_width(text, format),
                       "[schedule] expected --gradient-bits from 1 to 16 or fp32, got '", text,
                       "'");
  return cost_bits(format);
}

double mean_of(const Bound& bound) {
  constexpr std::int64_t kMostUpdates = 1'000'000'000;  // a minute's work
  require<ConfigError>(bound.updates() <= kMostUpdates,
                       "[schedule] --summary adds up the values of ", bound.updates(),
                       " updates one by one; the limit is ", kMostUpdates,
                       ", take fewer --iterations");
  double sum = 0;
  for (std::int64_t t = 0; t < bound.updates(); ++t) {
    const Value value = bound.value(t);
    sum += value.is_number() ? value.number : value.bits();
  }
  return sum / static_cast<double>(bound.updates());
}

}  // namespace

void print_schedule(const ScheduleOptions& options, std::ostream& out, std::ostream& warnings) {
  require<ConfigError>(options.iterations >= 1, "[schedule] expected --iterations >= 1, got ",
                       options.iterations);
  require<ConfigError>(options.max_bits >= 1 && options.max_bits <= 16,
                       "[schedule] expected --max-bits from 1 to 16, got ", options.max_bits);
  const int gradient_bits = width(options.gradient_bits.value_or("8"));
  const SiteFormats reference = parse_cost_reference(options.cost_reference.value_or("8/8/8"));
  require<ConfigError>(options.period == "floor" || options.period == "floor+1",
                       "[schedule] expected --period floor or floor+1, got '", options.period, "'");
  const Schedule schedule = schedule_of(options);
  const Bound bound = bound_for(options, schedule);
  const bool bits = is_bits(options, schedule, bound);
  const bool has_bounds = bits && (!options.name.empty() || options.max_bits_given);
  for (const std::string& warning :
       has_bounds ? precision_warnings(bound, options.max_bits) : bound.warnings()) {
    warnings << "ebb schedule: warning: " << warning << '\n';
  }
  if (options.summary) {
    const bool costs = bits && !names_roles(schedule);
    require<ConfigError>(
        costs || (!options.gradient_bits && !options.cost_reference),
        "[schedule] --gradient-bits and --cost-reference have no effect here, since "
        "a cost is that of a schedule of "
        "bits for weights and activations alike; leave them out");
    if (costs) {
      // Without a network: a layer's three products have its MACs each, so exact and papers' cost
      // are in the same ratio.
      const PrecisionCost cost = precision_cost(
          bound, gradient_bits, static_cast<std::uint64_t>(CostLedger::paper_bits(reference)));
      require<ConfigError>(cost.mean_bits < 32 || !options.gradient_bits,
                           "[schedule] --gradient-bits has no effect with float32 throughout, "
                           "where gradients are float32; leave it out");
      out << "mean_value\t" << digits(cost.mean_bits) << "\ncost_reference\t"
          << cost_reference_text(reference) << "\nrelative_cost\t" << digits(cost.relative)
          << "\nrelative_cost_paper\t" << digits(cost.relative) << "\nsavings_percent\t"
          << digits(cost.savings_percent()) << '\n';
    } else {
      out << "mean_value\t" << digits(mean_of(bound)) << '\n';
    }
  } else {
    out << "t\tvalue\n";
    for (std::int64_t t = 0; t < bound.updates() && out; ++t) {
      const Value value = bound.value(t);
      out << to_text(t) << '\t' << (value.is_number() ? digits(value.number) : to_text(value))
          << '\n';
    }
  }
  out.flush();
  require<DataError>(static_cast<bool>(out),
                     "[schedule] cannot write the table: is the disk full or the pipe closed?");
}

}  // namespace ebb::tools
