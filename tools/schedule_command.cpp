#include "tools/schedule_command.h"

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <memory>
#include <ostream>

#include "core/error.h"
#include "schedules/cpt.h"
#include "tools/integer_check.h"

namespace ebb::tools {
namespace {

/// Whole numbers as integers, reals with 17 significant digits, whatever the locale.
std::string digits(double value) {
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::general, 17).ptr;
  return {buffer.data(), end};
}

Schedule schedule_of(const ScheduleOptions& options) {
  require<ConfigError>(options.name.empty() != options.expression.empty(), "[schedule] expected one of --name and --expr");
  if (!options.expression.empty()) return Schedule::parse(options.expression);
  const CycleLength length = options.period == "floor" ? CycleLength::floor : CycleLength::floor_plus_one;
  return precision_schedule(options.name, {options.cycles, options.min_bits, options.max_bits, length});
}

/// A run of bits has a width at every iteration; a learning rate that happens to be 1 throughout must not pass for one.
bool is_bits(const ScheduleOptions& options, const Schedule& schedule, const Bound& bound) {
  if (!options.name.empty()) return true;
  if (!schedule.is_whole() && !options.max_bits_given) return false;
  for (std::int64_t t = 0; t < bound.updates(); ++t) {
    const Value value = bound.value(t);
    if (value.is_number() && !(value.number >= 1 && value.number <= 16 && value.number == static_cast<int>(value.number)))
      return false;
  }
  return true;
}

double mean_of(const Bound& bound) {
  double sum = 0;
  for (std::int64_t t = 0; t < bound.updates(); ++t) {
    const Value value = bound.value(t);
    sum += value.is_number() ? value.number : value.bits();
  }
  return sum / static_cast<double>(bound.updates());
}

}  // namespace

void print_schedule(const ScheduleOptions& options, std::ostream& out, std::ostream& warnings) {
  require<ConfigError>(options.iterations >= 1, "[schedule] expected --iterations >= 1, got ", options.iterations);
  require<ConfigError>(options.max_bits >= 1 && options.max_bits <= 16, "[schedule] expected --max-bits from 1 to 16, got ",
                       options.max_bits);
  const int gradient_bits = options.gradient_bits.value_or(options.max_bits);
  require<ConfigError>(gradient_bits >= 1 && gradient_bits <= 16, "[schedule] expected --gradient-bits from 1 to 16, got ",
                       gradient_bits);
  require<ConfigError>(options.period == "floor" || options.period == "floor+1",
                       "[schedule] expected --period floor or floor+1, got '", options.period, "'");
  const Schedule schedule = schedule_of(options);
  const Bound bound = schedule.bind(options.iterations);
  const bool bits = is_bits(options, schedule, bound);
  const bool has_bounds = bits && (!options.name.empty() || options.max_bits_given);
  for (const std::string& doubt : has_bounds ? precision_doubts(bound, options.max_bits) : bound.doubts()) {
    warnings << "ebb schedule: warning: " << doubt << '\n';
  }
  if (options.summary) {
    if (bits) {
      const PrecisionCost cost = precision_cost(bound, options.max_bits, gradient_bits);
      out << "mean_value\t" << digits(cost.mean_bits) << "\nrelative_cost\t" << digits(cost.relative) << "\nsavings_percent\t"
          << digits(cost.savings_percent()) << '\n';
    } else {
      out << "mean_value\t" << digits(mean_of(bound)) << '\n';
    }
  } else {
    out << "t\tvalue\n";
    for (std::int64_t t = 0; t < bound.updates() && out; ++t) {
      const Value value = bound.value(t);
      out << to_text(t) << '\t' << (value.is_number() ? digits(value.number) : std::string(value.name())) << '\n';
    }
  }
  out.flush();
  require<DataError>(static_cast<bool>(out), "[schedule] cannot write the table: is the disk full or the pipe closed?");
}

void add_schedule_command(CLI::App& app, std::ostream& out, std::ostream& warnings) {
  const auto options = std::make_shared<ScheduleOptions>();
  CLI::App* const command = app.add_subcommand("schedule", "Print a schedule as TSV, one row an iteration, or its summary");
  CLI::Option* const name =
      command->add_option("--name", options->name, "A precision schedule: " + join(precision_schedule_names(), " "));
  CLI::Option* const expression =
      command->add_option("--expr", options->expression, "An expression; its grammar is in docs/SCHEDULES.md");
  name->excludes(expression);
  command->add_option("--iterations", options->iterations, "Optimizer updates of the run")->required()->check(integer_check, "");
  const auto cyclic = [&](CLI::Option* option) { option->capture_default_str()->excludes(expression); };
  cyclic(command->add_option("--cycles", options->cycles, "Cycles of a named schedule")->check(integer_check, ""));
  cyclic(command->add_option("--min-bits", options->min_bits, "Lowest width of a named schedule")->check(integer_check, ""));
  cyclic(command->add_option("--period", options->period, "Length of a cycle: floor+1 or floor of iterations / cycles"));
  CLI::Option* const max_bits =
      command->add_option("--max-bits", options->max_bits, "Highest width, and the static one that costs are relative to")
          ->capture_default_str()
          ->check(integer_check, "");
  command->add_option("--gradient-bits", options->gradient_bits, "Width of gradients in the cost [as --max-bits]")
      ->check(integer_check, "");
  command->add_flag("--summary", options->summary, "Print mean_value and, for bits, relative_cost and savings_percent only");
  command->callback([options, max_bits, &out, &warnings] {
    options->max_bits_given = max_bits->count() > 0;
    print_schedule(*options, out, warnings);
  });
}

}  // namespace ebb::tools
