#include "train/options/precision.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/read_number.h"
#include "schedules/cpt.h"
#include "schedules/range.h"
#include "schedules/schedule.h"
#include "train/options/conflicts.h"
#include "train/options/groups.h"

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
  return schedule;
}

Schedule gradient_schedule(const Options& options) {
  return parse_bits("gradient-bits", options.text("gradient-bits"));
}

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

// What all plans of a run share.
PrecisionPlan common_plan(const Options& options) {
  PrecisionPlan plan;
  plan.base.set_grid(parse_grid_style(options.text("grid")))
      .set_accumulator(Accumulator::parse(options.text("accumulator")));
  if (options.has("gradient-grid"))
    plan.base.gradient.grid = parse_grid_style(options.text("gradient-grid"));
  plan.simulate = options.flag("simulate");
  plan.keep_fp32(split_at(options.text("keep-fp32"), ','));
  plan.shared =
      true;  // check_keep_fp32() has seen the names: there are tags that a network may lack
  return plan;
}

PrecisionPlan with_formats(PrecisionPlan plan, const SiteFormats& formats) {
  plan.base.set_formats(formats);
  return plan;
}

bool none_is_fine(const ValueRange&) { return false; }

// Schedules are pure functions of the iteration: a value that cannot be used is known before
// anything is trained. Calls use(t) at updates among which are those of the lowest and the highest
// number and of every name, but for those of ranges that are fine: the flat ends of a curve have
// too many numbers that differ in the last bit.
template <class Fine, class Use>
void try_all(std::string_view option, const Bound& bound, const Fine& fine, const Use& use) {
  std::optional<double> low, high;  // of the numbers so far
  const auto within = [&](const ValueRange& range) {
    return low && range.is_number() && *low <= range.low && range.high <= *high;
  };
  const auto use_and_note = [&](std::int64_t t) {
    use(t);
    if (const Value value = bound.value(t); value.is_number()) {
      low = low ? std::min(*low, value.number) : value.number;
      high = high ? std::max(*high, value.number) : value.number;
    }
  };
  halve(bound, 0, bound.updates() - 1,
        [&](std::int64_t first, std::int64_t last, const ValueRange& range) {
          if (fine(range) || within(range)) return true;
          try {
            use_and_note(first);
          } catch (const ConfigError& error) {
            throw ConfigError(
                concat("[command line] --", option, " at iteration ", first, ": ", error.what()));
          }
          if (first == last || range.is_one()) return true;
          try {
            use_and_note(last);  // both ends settle a curve that only rises or only falls
          } catch (const ConfigError&) {
            return false;  // the halves will come to the first of the updates that cannot be used
          }
          return within(range);
        });
}

// Of equal width the later one.
Format wider(Format a, Format b) { return cost_bits(a) <= cost_bits(b) ? b : a; }

// Whether a schedule has a value for a member.
bool binds(const Schedule& schedule, const Totals& totals, const Schedule::Member& member) {
  try {
    static_cast<void>(schedule.bind(totals, {}, member));
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}

// The formats of all operands at every iteration, from the schedules of --bits and --gradient-bits
// and their groups.
class FormatSchedule {
 public:
  FormatSchedule(const Schedule& forward, const Schedule& gradient, const Totals& totals,
                 std::span<const Site> sites)
      : gradient_in_bits_(names_role(forward, Role::gradient)) {
    std::vector<Site> all{Site{}};  // whatever no part names
    all.insert(all.end(), sites.begin(), sites.end());
    std::vector<Role> roles{Role::weight, Role::activation};
    if (gradient_in_bits_) roles.push_back(Role::gradient);
    const BoundForMany f = bind("bits", forward, totals, all, roles);
    const BoundForMany g = gradient_in_bits_
                               ? BoundForMany{}
                               : bind("gradient-bits", gradient, totals, all, {Role::gradient});
    bounds_ = f.bounds;
    bounds_.insert(bounds_.end(), g.bounds.begin(), g.bounds.end());
    forward_bounds_ = f.bounds.size();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto of = [&](std::size_t role) { return f.of[i * roles.size() + role]; };
      const Place place{all[i].name, of(0), of(1),
                        gradient_in_bits_ ? of(2) : forward_bounds_ + g.of[i]};
      if (i == 0 || !place.is_like(places_[0])) places_.push_back(place);
    }
    find_extremes();
  }

  [[nodiscard]] PrecisionPlan at(PrecisionPlan plan, std::int64_t t) const {
    std::vector<Format> formats;
    for (const Bound& bound : bounds_) formats.push_back(bound.value(t).format());
    return filled(std::move(plan), formats);
  }
  /// Every operand at the widest, or the narrowest, format that it ever has.
  [[nodiscard]] PrecisionPlan widest(PrecisionPlan plan) const {
    return filled(std::move(plan), highest_);
  }
  [[nodiscard]] PrecisionPlan narrowest(PrecisionPlan plan) const {
    return filled(std::move(plan), lowest_);
  }

  /// Whether a site is left to the formats of whatever no part names.
  [[nodiscard]] bool leaves_to_all(const PrecisionPlan& plan, const Site& site) const {
    return says_common_ && std::ranges::find(places_, site.name, &Place::site) == places_.end() &&
           std::ranges::none_of(plan.rules, [&](const auto& rule) { return rule.is_for(site); });
  }

  /// @throws ConfigError where a format is no grid of its style
  void check_grids(const PrecisionPlan& plan) const {
    for (const Place& place : places_) {
      for (const auto& [role, bound] : {std::pair(Role::weight, place.weight),
                                        {Role::activation, place.activation},
                                        {Role::gradient, place.gradient}}) {
        const GridStyle grid = plan.base.encoding(role).grid;
        require<ConfigError>(grid == GridStyle::affine || lowest_[bound] != Format::integer(1),
                             "[command line] --", option_of(bound), ": ", role,
                             "s of 1 bit have no symmetric grid; use 2 bits and more, or --",
                             role == Role::gradient ? "gradient-grid" : "grid", " affine");
      }
    }
  }

  /// Forward bits of whatever no part names.
  [[nodiscard]] const Bound& common() const { return bounds_[places_[0].activation]; }
  [[nodiscard]] const std::vector<Bound>& bounds() const { return bounds_; }
  /// Whether a bound is of --bits or --schedule, else of --gradient-bits.
  [[nodiscard]] bool is_forward(std::size_t bound) const { return bound < forward_bounds_; }

 private:
  // A site with formats of its own, as places in bounds_.
  struct Place {
    std::string site;
    std::size_t weight, activation, gradient;
    [[nodiscard]] bool is_like(const Place& other) const {
      return weight == other.weight && activation == other.activation && gradient == other.gradient;
    }
  };

  BoundForMany bind(std::string_view option, const Schedule& schedule, const Totals& totals,
                    const std::vector<Site>& sites, const std::vector<Role>& roles) {
    std::vector<Schedule::Member> members;
    const auto add = [&](const Site& site, Role role) {
      members.push_back(
          {site.name.empty() ? "everything else" : concat(site.name, '.', role),
           [&site, role](std::string_view part) { return is_for_operand(part, site, role); }});
    };
    for (const Site& site : sites) {
      for (const Role role : roles) {
        add(site, role);
        // Where every layer is named nothing else need be said: the first one stands for it.
        if (!site.name.empty() || sites.size() == 1 || binds(schedule, totals, members.back()))
          continue;
        members.pop_back();
        add(sites[1], role);
        says_common_ = false;
      }
    }
    std::vector<std::string> known = layer_names(sites);
    if (option == "bits")
      known.insert(known.end(), {to_text(Role::weight), to_text(Role::activation)});
    known.push_back(to_text(Role::gradient));
    return bind_for(option, schedule, totals, members, known);
  }

  [[nodiscard]] std::string_view option_of(std::size_t bound) const {
    return is_forward(bound) ? "bits" : "gradient-bits";
  }

  void find_extremes() {
    for (std::size_t i = 0; i < bounds_.size(); ++i) {
      std::optional<Format> low, high;
      try_all(option_of(i), bounds_[i], none_is_fine, [&](std::int64_t t) {
        const Format format = bounds_[i].value(t).format();
        high = high ? wider(*high, format) : format;
        low = low && cost_bits(*low) < cost_bits(format) ? *low : format;
      });
      lowest_.push_back(*low);
      highest_.push_back(*high);
    }
  }

  // Gradients of a float32 forward product stay float32 too, unless --bits itself speaks of
  // gradients: that is plain training.
  [[nodiscard]] SiteFormats formats_of(const Place& place,
                                       const std::vector<Format>& formats) const {
    const Format weight = formats[place.weight], activation = formats[place.activation];
    const bool plain = weight.is_fp32() && activation.is_fp32() && !gradient_in_bits_;
    return {weight, activation, plain ? Format::fp32() : formats[place.gradient]};
  }

  [[nodiscard]] PrecisionPlan filled(PrecisionPlan plan, const std::vector<Format>& formats) const {
    plan.base.set_formats(formats_of(places_[0], formats));
    std::vector<PrecisionPlan::Rule> rules;  // before those of --keep-fp32, which win
    for (std::size_t i = 1; i < places_.size(); ++i) {
      rules.push_back({.pattern = places_[i].site, .numerics = plan.base, .exact = true});
      rules.back().numerics.set_formats(formats_of(places_[i], formats));
    }
    plan.rules.insert(plan.rules.begin(), rules.begin(), rules.end());
    return plan;
  }

  bool gradient_in_bits_;
  bool says_common_ = true;  // that there is something for what no part names
  std::size_t forward_bounds_ = 0;
  std::vector<Bound> bounds_;             // those of --bits first
  std::vector<Place> places_;             // the first is of every site without one
  std::vector<Format> lowest_, highest_;  // of each bound
};

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

void check_expressions(const Options& options) {
  static_cast<void>(bits_schedule(options));
  static_cast<void>(gradient_schedule(options));
  if (options.has("lr-schedule"))
    static_cast<void>(parse_expression("lr-schedule", options.text("lr-schedule")));
}

bool sets_gradients(const Options& options) {
  return options.has("bits") &&
         names_role(parse_expression("bits", options.text("bits")), Role::gradient);
}

Precision resolve_precision(const Options& options, const Totals& totals,
                            std::span<const Site> sites, const ParamStore& params) {
  const Schedule forward = bits_schedule(options), gradient = gradient_schedule(options);
  const Schedule rate_schedule = parse_expression(
      "lr-schedule", options.has("lr-schedule") ? options.text("lr-schedule") : "1");
  const PrecisionPlan common = common_plan(options);
  const auto formats = std::make_shared<const FormatSchedule>(forward, gradient, totals, sites);
  formats->check_grids(common);
  const auto factors =
      std::make_shared<const BoundForMany>(rate_factors(rate_schedule, totals, sites, params));

  Precision precision{
      .plan = [=](std::int64_t t) { return formats->at(common, t); },
      .rate = [factors, lr = options.real("lr")](
                  std::int64_t t) { return lr * factors->bounds[factors->of.back()](t); },
      .narrowest = formats->narrowest(common),
      .widest = formats->widest(common),
      .evaluation = formats->widest(common),
      .reference = parse_cost_reference(options.text("cost-reference")),
      .bits_text = forward.text(),
      .gradient_text = sets_gradients(options) ? std::string() : gradient.text(),
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
    precision.evaluation = with_formats(
        common, formats_of(forward_format, precision.evaluation->base.gradient.format));
  }
  const std::string forward_option =
      options.has("bits") ? "--bits" : concat("--schedule ", options.text("schedule"));
  if (!options.has("bits"))
    add_warnings(
        precision.warnings,
        precision_warnings(formats->common(), static_cast<int>(options.integer("max-bits"))),
        forward_option);
  const auto left = [&](const Site& site) { return formats->leaves_to_all(common, site); };
  if (!sites.empty() && std::ranges::none_of(sites, left)) {
    precision.warnings.emplace_back(
        "--bits or --keep-fp32 sets every layer apart, but the papers' cost counts the common "
        "widths (in a group those of '*') for the whole model");
  }
  for (std::size_t i = 0; i < formats->bounds().size(); ++i)
    add_warnings(precision.warnings, formats->bounds()[i].warnings(),
                 formats->is_forward(i) ? forward_option : "--gradient-bits");
  for (const Bound& bound : factors->bounds)
    add_warnings(precision.warnings, bound.warnings(), "--lr-schedule");
  return precision;
}

void check_codes(const Options& options, const Precision& precision, std::span<const Site> sites) {
  const auto any_operand = [&](const PrecisionPlan& plan, std::initializer_list<Role> roles,
                               bool (*is)(Format)) {
    return std::ranges::any_of(sites, [&](const Site& site) {
      return std::ranges::any_of(roles,
                                 [&](Role role) { return is(plan.encoding(site, role).format); });
    });
  };
  const auto linear = [](Format format) {
    return traits_of(format).arithmetic(format) == Arithmetic::linear;
  };
  const auto narrow = [](Format format) { return !format.is_fp32(); };
  const bool trains = !options.has("evaluate") && !options.gave("generate");
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
  for (const char* name : {"grid", "accumulator", "simulate"})
    refuse(name, no_codes, "every product is");
  const auto nothing_kept = [](PrecisionPlan plan) {
    std::erase_if(plan.rules, [](const PrecisionPlan::Rule& rule) { return !rule.exact; });
    return plan;
  };
  refuse("keep-fp32", !any(narrow, nothing_kept), "every product is");
  if (!trains) return;  // gradients mean nothing then, which was said
  refuse("gradient-bits",
         !any_operand(precision.narrowest, {Role::weight, Role::activation}, narrow),
         "every layer is");
  refuse("gradient-grid", !any_operand(precision.narrowest, {Role::gradient}, linear),
         "gradients are");
}

}  // namespace ebb::train
