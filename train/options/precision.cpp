#include "train/options/precision.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/read_number.h"
#include "quant/multiplier.h"
#include "schedules/cpt.h"
#include "schedules/range.h"
#include "schedules/schedule.h"
#include "train/files.h"
#include "train/options/conflicts.h"
#include "train/options/format_schedule.h"
#include "train/options/groups.h"
#include "train/options/numerics.h"
#include "train/options/try_all.h"

namespace ebb::train {
namespace {

// "8" is int8, as in --gradient-bits; names are formats.
Format parse_width(const std::string& text) {
  Format format;
  return find_width(text, format) ? format : Format::parse(text);
}

// Gradients of a float32 forward product stay float32 too: that is plain training.
SiteFormats formats_of(Format forward, Format gradient) {
  return {.weight = forward,
          .activation = forward,
          .gradient = forward.is_fp32() ? Format::fp32() : gradient};
}

Schedule parse_expression(std::string_view option, const std::string& text) {
  return naming_option(option, [&] { return Schedule::parse(text); });
}

// Refuses what is no expression but looks like one: "8/4", which would read as 2 bits, though
// widths by role are printed so; and a name of --schedule.
void require_expression_of_bits(std::string_view option, const std::string& text) {
  const bool by_role = text.find('/') != std::string::npos &&
                       text.find_first_not_of("0123456789/ ") == std::string::npos;
  require<ConfigError>(!by_role, "[command line] --", option, ": a width is one number, got '",
                       text,
                       "'; for weights and activations of 8 and 4 bits write --bits 'group{weight: "
                       "8, activation: 4}'");
  const std::vector<std::string> names = precision_schedule_names();
  require<ConfigError>(text == "fp32" || std::ranges::find(names, text) == names.end(),
                       "[command line] --", option, ": '", text,
                       "' is a name of --schedule, not an expression; ebb schedule --name ", text,
                       " shows the expression that it stands for");
}

Schedule parse_bits(std::string_view option, const std::string& text) {
  require_expression_of_bits(option, text);
  Schedule schedule = parse_expression(option, text);
  require<ConfigError>(schedule.is_whole(), "[command line] --", option, ": '", schedule.text(),
                       "' may yield fractions, which are no widths; wrap it in round(...)");
  require<ConfigError>(!schedule.is_closed_loop(), "[command line] --", option, ": '",
                       schedule.text(),
                       "' has a controller, but bits are planned before the run, with its costs; "
                       "--set lr and other settings of the optimizer can have one");
  return schedule;
}

constexpr std::pair<Role, const char*> kFormatOptions[] = {{Role::weight, "weight-format"},
                                                           {Role::activation, "activation-format"},
                                                           {Role::gradient, "gradient-format"}};

Schedule bits_schedule(const Options& options) {
  if (options.has("bits")) return parse_bits("bits", options.text("bits"));
  const CyclicPrecision settings{.cycles = options.integer("cycles"),
                                 .min_bits = static_cast<int>(options.integer("min-bits")),
                                 .max_bits = static_cast<int>(options.integer("max-bits")),
                                 .length = options.text("period") == "floor"
                                               ? CycleLength::floor
                                               : CycleLength::floor_plus_one};
  return naming_option("schedule",
                       [&] { return precision_schedule(options.text("schedule"), settings); });
}

// Whether a group of the schedule has a part for a role.
bool names_role(const Schedule& schedule, Role role) {
  const std::vector<std::string> names = schedule.group_names();
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return is_for_operand(name, Site{}, role) || name.ends_with(concat('.', role));
  });
}

// Who says the formats of which role: the option of the role itself, else --bits or --schedule; of
// gradients, where these say nothing of them, --gradient-bits.
std::vector<FormatSource> format_sources(const Options& options) {
  FormatSource bits{.option = "bits", .schedule = bits_schedule(options), .roles = {}},
      gradient_bits{.option = "gradient-bits",
                    .schedule = parse_bits("gradient-bits", options.text("gradient-bits")),
                    .roles = {}};
  std::vector<FormatSource> sources;
  for (const auto& [role, option] : kFormatOptions) {
    if (options.has(option)) {
      sources.push_back({option, parse_bits(option, options.text(option)), {role}});
    } else if (role != Role::gradient || names_role(bits.schedule, role)) {
      bits.roles.push_back(role);
    } else {
      gradient_bits.roles.push_back(role);
    }
  }
  for (const FormatSource& source : {bits, gradient_bits}) {
    if (!source.roles.empty()) sources.push_back(source);
  }
  return sources;
}

// What the forward formats are, as an expression that --bits would take.
std::string forward_text(const Options& options, const std::string& bits) {
  if (!options.has("weight-format") && !options.has("activation-format")) return bits;
  const auto of = [&](const char* option) {
    return options.has(option) ? options.text(option) : bits;
  };
  const std::string weight = of("weight-format"), activation = of("activation-format");
  return weight == activation ? weight
                              : concat("group{weight: ", weight, ", activation: ", activation, '}');
}

// That of gradients, if it is an option of their own.
std::string gradient_text(const Options& options) {
  if (options.has("gradient-format")) return options.text("gradient-format");
  return sets_gradients(options)
             ? std::string()
             : parse_bits("gradient-bits", options.text("gradient-bits")).text();
}

std::vector<NumericsRule> numerics_rules(const Options& options) {
  return options.has("numerics") ? parse_numerics(options.text("numerics"))
                                 : std::vector<NumericsRule>();
}

// What all plans of a run share.
PrecisionPlan common_plan(const Options& options) {
  PrecisionPlan plan;
  plan.base.set_grid(parse_grid_style(options.text("grid")))
      .set_accumulator(Accumulator::parse(options.text("accumulator")));
  if (options.has("gradient-grid"))
    plan.base.gradient.grid = parse_grid_style(options.text("gradient-grid"));
  plan.simulate = options.flag("simulate");
  plan.multiplier = multiplier_of(options);
  plan.keep_fp32(split_at(options.text("keep-fp32"), ','));
  plan.shared =
      true;  // check_keep_fp32() has seen the names: there are tags that a network may lack
  return plan;
}

// The factors of --lr-schedule for every entry of a store, the common one behind them.
BoundForMany rate_factors(const Schedule& schedule, const Totals& totals,
                          std::span<const Site> sites, const ParamStore& params) {
  std::vector<Schedule::Member> members;
  std::vector<std::string> known;
  std::vector<std::size_t> unnamed;  // layer states, and what stands for everything else
  for (const ParamStore::Entry& entry : params.entries()) {
    if (entry.kind != ParamStore::Kind::parameter) {
      unnamed.push_back(members.size());
      members.push_back({entry.name, [](std::string_view) { return false; }});
      continue;
    }
    members.push_back({entry.name, [&entry, sites](std::string_view part) {
                         return is_for_parameter(part, entry.name, sites);
                       }});
    add_dotted(known, entry.name);
    add_dotted(known, entry.name.substr(entry.name.rfind('.') + 1));
  }
  unnamed.push_back(members.size());
  members.push_back({"everything else", [](std::string_view) { return false; }});
  // Where every parameter is named the first one stands for all that is not.
  if (!known.empty() && !binds(schedule, totals, members.back())) {
    std::size_t first = 0;
    while (std::ranges::find(unnamed, first) != unnamed.end()) ++first;
    for (const std::size_t i : unnamed) members[i] = members[first];
  }
  BoundForMany factors = bind_for("lr-schedule", schedule, totals, members, known);
  for (const Bound& bound : factors.bounds) {
    const auto fine = [](const ValueRange& range) {
      return range.is_number() && range.low >= 0 && std::isfinite(range.high);
    };
    try_all("lr-schedule", bound, fine, [&](std::int64_t t) {
      const double factor = bound(t);
      require<ConfigError>(factor >= 0 && std::isfinite(factor),
                           "expected a finite factor of 0 and more, got ", factor);
    });
  }
  return factors;
}

// Parameters by the factor that they follow.
std::vector<RateGroup> rate_groups(const BoundForMany& factors, double lr,
                                   const ParamStore& params) {
  std::vector<RateGroup> groups(factors.bounds.size());
  for (std::size_t i = 0; i < params.size(); ++i) {
    const ParamStore::Entry& entry = params.entries()[i];
    if (entry.kind == ParamStore::Kind::parameter)
      groups[factors.of[i]].parameters.push_back(entry.name);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Bound& factor = factors.bounds[i];
    groups[i].lowest = groups[i].highest = lr * factor(0);
    // Near the flat ends of a curve there are too many rates that differ in their last digits.
    const auto adds_little = [&](const ValueRange& range) {
      const double slack = 1e-9 * groups[i].highest;
      return range.is_number() && lr * range.low >= groups[i].lowest - slack &&
             lr * range.high <= groups[i].highest + slack;
    };
    try_all("lr-schedule", factor, adds_little, [&](std::int64_t t) {
      groups[i].lowest = std::min(groups[i].lowest, lr * factor(t));
      groups[i].highest = std::max(groups[i].highest, lr * factor(t));
    });
  }
  std::erase_if(groups, [](const RateGroup& group) { return group.parameters.empty(); });
  return groups;
}

// @throws ConfigError where an accumulator, or the multiplier, is none for the formats of a product
void check_products(const PrecisionPlan& plan, std::span<const Site> sites) {
  if (plan.simulate) return;
  for (const Site& site : sites) {
    const Numerics& numerics = plan.at(site);
    for (const Product product : {Product::forward, Product::grad_left, Product::grad_right}) {
      const SiteFormats::Pair formats = numerics.formats(product);
      if (formats.left.is_fp32() || formats.right.is_fp32()) continue;
      const Accumulator& accumulator = numerics.accumulator(product);
      const bool of_all = accumulator == plan.base.accumulator(product);
      naming_option(of_all ? "accumulator" : "numerics",
                    [&] { return resolve(accumulator, formats.left, formats.right); });
      if (plan.multiplier == nullptr) continue;
      naming_option("multiplier", [&] {
        require_multipliable(formats.left, formats.right, accumulator);
        return 0;
      });
    }
  }
}

// Each sentence once, behind the option that it is about.
void add_warnings(std::vector<std::string>& warnings, const std::vector<std::string>& more,
                  std::string_view option) {
  for (const std::string& warning : more) {
    const std::string sentence = concat(option, ": ", warning);
    if (std::find(warnings.begin(), warnings.end(), sentence) == warnings.end())
      warnings.push_back(sentence);
  }
}

}  // namespace

std::shared_ptr<const Multiplier> multiplier_of(const Options& options) {
  if (!options.has("multiplier") || options.text("multiplier") == "none") return nullptr;
  const std::string& path = options.text("multiplier");
  const std::string bytes = read_file(path);
  return std::make_shared<const Multiplier>(
      Multiplier::parse(std::as_bytes(std::span(bytes)), options.flag("multiplier-signed"), path));
}

void check_expressions(const Options& options) {
  static_cast<void>(format_sources(options));
  if (options.has("lr-schedule"))
    static_cast<void>(parse_expression("lr-schedule", options.text("lr-schedule")));
}

bool sets_gradients(const Options& options) {
  return options.has("bits") &&
         names_role(parse_expression("bits", options.text("bits")), Role::gradient);
}

Precision resolve_precision(const Options& options, const Totals& totals,
                            std::span<const Site> sites, const ParamStore& params) {
  const std::vector<FormatSource> sources = format_sources(options);
  const Schedule forward = bits_schedule(options);
  const bool gradients_apart = sets_gradients(options) || options.has("gradient-format");
  const Schedule rate_schedule = parse_expression(
      "lr-schedule", options.has("lr-schedule") ? options.text("lr-schedule") : "1");
  const PrecisionPlan common = common_plan(options);
  const auto formats = std::make_shared<const FormatSchedule>(
      sources, gradients_apart, totals, sites, numerics_rules(options),
      split_at(options.text("keep-fp32"), ','));
  formats->check_grids(common);
  for (const PrecisionPlan& plan : {formats->narrowest(common), formats->widest(common)})
    check_products(plan, sites);
  const auto factors =
      std::make_shared<const BoundForMany>(rate_factors(rate_schedule, totals, sites, params));

  Precision precision{
      .plan = [=](std::int64_t t) { return formats->at(common, t); },
      .rate = [factors, lr = options.real("lr")](
                  std::int64_t t) { return lr * factors->bounds[factors->of.back()](t); },
      .narrowest = formats->narrowest(common),
      .widest = formats->widest(common),
      .evaluation = formats->widest(common),
      .costs = {parse_cost_reference(options.text("cost-reference")),
                CostModel::parse(options.text("cost-model"))},
      .bits_text = forward_text(options, forward.text()),
      .gradient_text = gradient_text(options),
      .rate_text = rate_schedule.text(),
      .arithmetic = arithmetic_options(option_texts(options, true)),
      .warnings = {}};
  if (factors->bounds.size() > 1) {
    precision.rates = [factors, lr = options.real("lr")](std::int64_t t) {
      std::vector<double> rates;
      for (std::size_t i = 0; i + 1 < factors->of.size(); ++i)
        rates.push_back(lr * factors->bounds[factors->of[i]](t));
      return rates;
    };
    precision.rate_groups = rate_groups(*factors, options.real("lr"), params);
  }
  if (options.text("eval-bits") == "current") {
    precision.evaluation.reset();
  } else if (options.has("eval-bits")) {
    const Format forward_format = parse_width(options.text("eval-bits"));
    precision.evaluation = formats->with_formats(
        common, formats_of(forward_format, precision.evaluation->base.gradient.format));
  }
  const std::string forward_option =
      options.has("bits") ? "--bits" : concat("--schedule ", options.text("schedule"));
  if (const Bound* bound = formats->common("bits"); bound != nullptr && !options.has("bits"))
    add_warnings(precision.warnings,
                 precision_warnings(*bound, static_cast<int>(options.integer("max-bits"))),
                 forward_option);
  const auto left = [&](const Site& site) { return formats->leaves_to_all(common, site); };
  if (!sites.empty() && std::ranges::none_of(sites, left)) {
    precision.warnings.emplace_back(
        "--bits, --keep-fp32 or --numerics names every layer, but the papers' cost counts the "
        "common "
        "widths (in a group those of '*') for the whole model");
  }
  for (std::size_t i = 0; i < formats->bounds().size(); ++i) {
    const std::string& option = formats->option_of(i);
    add_warnings(precision.warnings, formats->bounds()[i].warnings(),
                 option == "bits" ? forward_option : concat("--", option));
  }
  for (const Bound& bound : factors->bounds)
    add_warnings(precision.warnings, bound.warnings(), "--lr-schedule");
  return precision;
}

void check_codes(const Options& options, const Precision& precision, std::span<const Site> sites) {
  const auto any_operand = [&](const PrecisionPlan& plan, std::initializer_list<Role> roles,
                               bool (*is)(Format)) {
    return std::ranges::any_of(sites, [&](const Site& site) {
      return std::ranges::any_of(kProductOperands, [&](const ProductOperand& operand) {
        return std::ranges::find(roles, operand.role) != roles.end() &&
               is(plan.encoding(site, operand.role, operand.product).format);
      });
    });
  };
  const auto linear = [](Format format) {
    return traits_of(format).arithmetic(format) == Arithmetic::linear;
  };
  const auto narrow = [](Format format) { return !format.is_fp32(); };
  const bool trains =
      !options.has("evaluate") && !options.gave("generate") && !options.has("export");
  const PrecisionPlan& evaluated =
      precision.evaluation ? *precision.evaluation : precision.narrowest;
  const auto any = [&](bool (*is)(Format), const auto& changed) {
    return any_operand(changed(evaluated), {Role::weight, Role::activation}, is) ||
           (trains && any_operand(changed(precision.narrowest),
                                  {Role::weight, Role::activation, Role::gradient}, is));
  };
  const auto refuse = [&](std::string_view name, bool without_effect, std::string_view what) {
    refuse_given(options, name,
                 without_effect ? concat("where ", what, " float32 throughout") : "");
  };
  const bool no_codes = !any(linear, [](const PrecisionPlan& plan) { return plan; });
  const auto nothing_kept = [](PrecisionPlan plan) {
    std::erase_if(plan.rules, [](const PrecisionPlan::Rule& rule) { return !rule.exact; });
    return plan;
  };
  refuse("keep-fp32", !any(narrow, nothing_kept), "every product is");
  const bool all_fp32 = !any(narrow, [](const PrecisionPlan& plan) { return plan; });
  for (const char* name : {"grid", "accumulator", "simulate", "numerics", "multiplier"})
    refuse(name, all_fp32, "every product is");
  refuse_given(options, "grid", no_codes ? "where no operand is of integers" : "");
  if (!trains) return;  // gradients mean nothing then, which was said
  refuse("gradient-bits",
         !any_operand(precision.narrowest, {Role::weight, Role::activation}, narrow),
         "every layer is");
  refuse("gradient-grid", !any_operand(precision.narrowest, {Role::gradient}, linear),
         "gradients are");
}

}  // namespace ebb::train
