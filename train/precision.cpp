#include "train/precision.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/error.h"
#include "schedules/cpt.h"
#include "schedules/schedule.h"

namespace ebb::train {
namespace {

// "8" is int8, as in --gradient-bits; names are formats.
Format parse_width(const std::string& text) {
  std::int64_t bits = 0;
  return parse(text, bits) ? Format::integer(bits) : Format::parse(text);
}

Format format_of(const Value& value) { return value.is_number() ? Format::integer(value.bits()) : Format::parse(value.name()); }

// Gradients of a float32 forward product stay float32 too: that is plain training.
SiteFormats formats_of(Format forward, Format gradient) {
  return {.weight = forward, .activation = forward, .gradient = forward.is_fp32() ? Format::fp32() : gradient};
}

Schedule bits_schedule(const Options& options) {
  if (!options.bits.empty()) {
    Schedule schedule = Schedule::parse(options.bits);
    require<ConfigError>(schedule.is_whole(), "[command line] --bits: '", schedule.text(),
                         "' may yield fractions, which are no widths; wrap it in round(...)");
    return schedule;
  }
  return precision_schedule(options.schedule,
                            {.cycles = options.cycles,
                             .min_bits = static_cast<int>(options.min_bits),
                             .max_bits = static_cast<int>(options.max_bits),
                             .length = options.period == "floor" ? CycleLength::floor : CycleLength::floor_plus_one});
}

// What all plans of a run share.
PrecisionPlan common_plan(const Options& options) {
  PrecisionPlan plan;
  plan.grid = parse_grid_style(options.grid);
  if (!options.gradient_grid.empty()) plan.gradient_grid = parse_grid_style(options.gradient_grid);
  plan.accumulator = Accumulator::parse(options.accumulator);
  plan.simulate = options.simulate;
  plan.keep_fp32(split(options.keep_fp32, ','));
  return plan;
}

PrecisionPlan with_formats(PrecisionPlan plan, const SiteFormats& formats) {
  plan.formats = formats;
  return plan;
}

// Schedules are pure functions of the iteration: a value that cannot be used is known before anything is trained.
template <class Use>
void try_all(std::string_view option, std::int64_t iterations, const Use& use) {
  for (std::int64_t t = 0; t < iterations; ++t) {
    try {
      use(t);
    } catch (const ConfigError& error) {
      throw ConfigError(concat("[command line] --", option, " at iteration ", t, ": ", error.what()));
    }
  }
}

double ratio(uint128 a, uint128 b) { return b == 0 ? 1.0 : static_cast<double>(a) / static_cast<double>(b); }

}  // namespace

void check_expressions(const Options& options) {
  static_cast<void>(bits_schedule(options));
  if (options.lr_schedule) static_cast<void>(Schedule::parse(*options.lr_schedule));
}

PrecisionPlan reference_plan(const Options& options) {
  return with_formats(common_plan(options), formats_of(Format::integer(options.max_bits), parse_width(options.gradient_bits)));
}

Precision resolve_precision(const Options& options, const Totals& totals) {
  const Schedule schedule = bits_schedule(options), rate_schedule = Schedule::parse(options.lr_schedule.value_or("1"));
  const Bound bits = schedule.bind(totals), multiplier = rate_schedule.bind(totals);
  try_all("bits", totals.updates, [&](std::int64_t t) { static_cast<void>(format_of(bits.value(t))); });
  try_all("lr-schedule", totals.updates, [&](std::int64_t t) {
    const double factor = multiplier(t);
    require<ConfigError>(factor >= 0 && std::isfinite(factor), "expected a finite factor of 0 and more, got ", factor);
  });
  const Format gradient = parse_width(options.gradient_bits);
  const PrecisionPlan common = common_plan(options);
  const bool all_fp32 = options.bits.empty() && options.schedule == "fp32";
  const Format highest = Format::integer(options.max_bits);
  const Format evaluated = !options.eval_bits.empty() ? parse_width(options.eval_bits) : all_fp32 ? Format::fp32() : highest;

  Precision precision{.plan = [=](std::int64_t t) { return with_formats(common, formats_of(format_of(bits.value(t)), gradient)); },
                      .rate = [multiplier, lr = options.lr.value()](std::int64_t t) { return lr * multiplier(t); },
                      .evaluation = with_formats(common, formats_of(evaluated, gradient)),
                      .reference = reference_plan(options),
                      .bits_text = schedule.text(),
                      .rate_text = rate_schedule.text(),
                      .doubts = options.bits.empty() ? precision_doubts(bits, static_cast<int>(options.max_bits)) : bits.doubts()};
  for (const std::string& doubt : multiplier.doubts()) precision.doubts.push_back("--lr-schedule: " + doubt);
  return precision;
}

void check_keep_fp32(const Options& options, std::span<const CostLedger::Row> sites) {
  const std::vector<std::string> groups{"first", "last", "shortcut"};
  for (const std::string& pattern : split(options.keep_fp32, ',')) {
    const bool known =
        std::any_of(sites.begin(), sites.end(), [&](const CostLedger::Row& row) { return row.site.matches(pattern); });
    if (known || std::find(groups.begin(), groups.end(), pattern) != groups.end()) continue;
    std::vector<std::string> names = groups;
    for (const CostLedger::Row& row : sites) {
      names.push_back(row.site.name);
      for (const std::string& tag : row.site.tags) {
        if (std::find(names.begin(), names.end(), tag) == names.end()) names.push_back(tag);
      }
    }
    throw ConfigError(concat("[command line] --keep-fp32: ", unknown_word("layer", pattern, names)));
  }
}

CostLedger count_example(const Task& task, const ParamStore& params) {
  if (!task.probe) {
    CostLedger first_step;
    task.charge(first_step, PrecisionPlan::fp32(), 0);
    return first_step;
  }
  ParamStore copy = params;  // a pass in training mode moves running statistics
  CostLedger ledger;
  Pass pass{.params = copy, .plan = PrecisionPlan::fp32(), .ledger = ledger, .key = Key(0), .simd = best_simd()};
  static_cast<void>(pass.tape.backward(task.probe(pass)));
  return ledger;
}

CostLedger predict(const CostLedger& example, const Task& task, const std::function<PrecisionPlan(std::int64_t)>& plan,
                   std::int64_t iterations) {
  if (task.charge) {
    CostLedger ledger;
    for (std::int64_t t = 0; t < iterations; ++t) {
      const PrecisionPlan at = plan(t);
      task.charge(ledger, at, t);
      ledger.close_iteration(at.formats.activation, at.formats.gradient);
    }
    return ledger;
  }
  // Few widths occur, so the examples are counted by plan first and each plan charged once.
  struct Share {
    PrecisionPlan plan;
    std::int64_t examples = 0;
  };
  std::map<std::pair<int, int>, Share> shares;
  for (std::int64_t t = 0; t < iterations; ++t) {
    PrecisionPlan at = plan(t);
    Share& share = shares[{at.formats.activation.bits, at.formats.gradient.bits}];
    for (const std::int64_t examples : task.parts(t)) share.examples += examples;
    share.plan = std::move(at);
  }
  CostLedger ledger;
  for (const auto& [bits, share] : shares) {
    for (const CostLedger::Row& row : example.rows()) {
      const SiteFormats formats = share.plan.at(row.site);
      for (const Product product : kAllProducts) {
        const uint128 macs = row.cells[static_cast<std::size_t>(product)].macs * static_cast<uint128>(share.examples);
        const SiteFormats::Pair pair = formats.of(product);
        if (macs > 0) ledger.charge(row.site, product, macs, pair.left, pair.right);
      }
    }
    ledger.close_iteration(share.plan.formats.activation, share.plan.formats.gradient);
  }
  return ledger;
}

RelativeCost relative_cost(const CostLedger& ledger, const PrecisionPlan& reference) {
  const uint128 q = reference.formats.activation.bits, g = reference.formats.gradient.bits;
  return {.exact = ratio(ledger.total_bit_ops(), ledger.bit_ops_under(reference)),
          .paper = ratio(ledger.paper_bit_ops(), ledger.forward_macs() * (q * q + 2 * q * g))};
}

}  // namespace ebb::train
