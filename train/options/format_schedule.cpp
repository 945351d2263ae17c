#include "train/options/format_schedule.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "quant/formats/block.h"
#include "train/options/rule_choice.h"
#include "train/options/try_all.h"

namespace ebb::train {
namespace {

constexpr Role kRoles[] = {Role::weight, Role::activation, Role::gradient};

// Of equal width the later one.
Format wider(Format a, Format b) { return cost_bits(a) <= cost_bits(b) ? b : a; }

bool none_is_fine(const ValueRange&) { return false; }

}  // namespace

FormatSchedule::Place::Place(Site its_site) : site(std::move(its_site)) {
  for (Operands* const rules : {&format_rules, &scale_rules, &grid_rules, &rounding_rules})
    rules->fill(kNoRule);
  accumulator_rules.fill(kNoRule);
  transform_rules.fill(kNoRule);
}

bool FormatSchedule::Place::is_like(const Place& other) const {
  return bounds == other.bounds && format_rules == other.format_rules &&
         scale_rules == other.scale_rules && grid_rules == other.grid_rules &&
         rounding_rules == other.rounding_rules && accumulator_rules == other.accumulator_rules &&
         transform_rules == other.transform_rules;
}

FormatSchedule::FormatSchedule(std::span<const FormatSource> sources, bool gradients_apart,
                               const Totals& totals, std::span<const Site> sites,
                               std::vector<NumericsRule> rules,
                               const std::vector<std::string>& kept)
    : gradients_apart_(gradients_apart), rules_(std::move(rules)) {
  std::vector<Site> all{Site{}};  // whatever no part names
  all.insert(all.end(), sites.begin(), sites.end());
  std::vector<Place> places(all.begin(), all.end());
  for (const FormatSource& source : sources) {
    const BoundForMany bound = bind(source, totals, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t role = 0; role < source.roles.size(); ++role) {
        for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
          if (kProductOperands[o].role == source.roles[role])
            places[i].bounds[o] = bounds_.size() + bound.of[i * source.roles.size() + role];
        }
      }
    }
    bounds_.insert(bounds_.end(), bound.bounds.begin(), bound.bounds.end());
    options_.resize(bounds_.size(), source.option);
  }
  bind_rules(totals);
  if (!sites.empty()) {
    RuleChoice choice(rules_, sites, kept);
    for (std::size_t i = 1; i < places.size(); ++i) {
      if (!is_kept(places[i].site, kept)) place_rules(places[i], choice);
    }
    choice.require_all_used();
  }
  for (const Place& place : places) {
    if (places_.empty() || !place.is_like(places_[0])) places_.push_back(place);
  }
  find_extremes();
  check_scales();
}

void FormatSchedule::bind_rules(const Totals& totals) {
  for (const NumericsRule& rule : rules_) {
    rule_bounds_.push_back(bounds_.size());
    if (rule.format.empty()) continue;
    bounds_.push_back(
        naming_option("numerics", [&] { return Schedule::parse(rule.format).bind(totals); }));
    options_.emplace_back("numerics");
  }
}

// Of each thing that rules say of an operand or a sum of this site, which rule says it.
void FormatSchedule::place_rules(Place& place, RuleChoice& choice) const {
  using Text = std::string;
  for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
    const auto choose = [&](const auto& says) {
      return choice(
          place.site, [&](const NumericsRule& rule) { return rule.is_for(kProductOperands[o]); },
          says);
    };
    place.format_rules[o] = choose([](const NumericsRule& r) { return r.format; });
    place.scale_rules[o] = choose([](const NumericsRule& r) {
      return r.scale ? std::to_string(static_cast<int>(*r.scale)) : Text();
    });
    place.grid_rules[o] =
        choose([](const NumericsRule& r) { return r.grid ? to_text(*r.grid) : Text(); });
    place.rounding_rules[o] =
        choose([](const NumericsRule& r) { return r.rounding ? to_text(*r.rounding) : Text(); });
    if (place.format_rules[o] != kNoRule) place.bounds[o] = rule_bounds_[place.format_rules[o]];
  }
  for (const Product product : {Product::forward, Product::grad_left, Product::grad_right}) {
    const auto choose = [&](const auto& says) {
      return choice(
          place.site,
          [&](const NumericsRule& rule) { return rule.product.value_or(product) == product; },
          says);
    };
    const auto index = static_cast<std::size_t>(product);
    place.accumulator_rules[index] = choose(
        [](const NumericsRule& r) { return r.accumulator ? to_text(*r.accumulator) : Text(); });
    place.transform_rules[index] =
        choose([](const NumericsRule& r) { return r.transform ? to_text(*r.transform) : Text(); });
  }
}

// A scale is of formats that have one for all of a tensor or a row; integers have a grid.
void FormatSchedule::check_scales() const {
  for (const Place& place : places_) {
    for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
      if (place.scale_rules[o] == kNoRule) continue;
      for (const auto* formats : {&lowest_, &highest_}) {
        const Format format = (*formats)[place.bounds[o]];
        require<ConfigError>(
            format.is_fp32() || (has_codec(format) && !has_blocks(format)),
            "[command line] --numerics: rule ", place.scale_rules[o] + 1, " gives ",
            kProductOperands[o].role, "s of ", place.site.name, " a scale, which are ", format,
            ": ", has_blocks(format) ? "blocks have their own" : "integers have a grid; say grid");
      }
    }
  }
}

PrecisionPlan FormatSchedule::at(PrecisionPlan plan, std::int64_t t) const {
  std::vector<Format> formats;
  for (const Bound& bound : bounds_) formats.push_back(bound.value(t).format());
  return filled(std::move(plan), formats);
}

bool FormatSchedule::leaves_to_all(const PrecisionPlan& plan, const Site& site) const {
  const auto name_of = [](const Place& place) -> const std::string& { return place.site.name; };
  const auto place = std::ranges::find(places_, site.name, name_of);
  return says_common_ && (place == places_.end() || place->bounds == places_[0].bounds) &&
         std::ranges::none_of(plan.rules, [&](const auto& rule) { return rule.is_for(site); });
}

void FormatSchedule::check_grids(const PrecisionPlan& plan) const {
  for (const Place& place : places_) {
    for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
      const Role role = kProductOperands[o].role;
      const std::size_t bound = place.bounds[o], rule = place.grid_rules[o];
      const GridStyle grid = rule == kNoRule ? plan.base.encoding(role).grid : *rules_[rule].grid;
      require<ConfigError>(grid == GridStyle::affine || lowest_[bound] != Format::integer(1),
                           "[command line] --", option_of(bound), ": ", role,
                           "s of 1 bit have no symmetric grid; use 2 bits and more, or --",
                           role == Role::gradient ? "gradient-grid" : "grid", " affine");
    }
  }
}

const Bound* FormatSchedule::common(std::string_view option) const {
  for (const Role role : {Role::activation, Role::weight, Role::gradient}) {
    for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
      const std::size_t bound = places_[0].bounds[o];
      if (kProductOperands[o].role == role && options_[bound] == option) return &bounds_[bound];
    }
  }
  return nullptr;
}

BoundForMany FormatSchedule::bind(const FormatSource& source, const Totals& totals,
                                  const std::vector<Site>& sites) {
  std::vector<Schedule::Member> members;
  const auto add = [&](const Site& site, Role role) {
    members.push_back(
        {site.name.empty() ? "everything else" : concat(site.name, '.', role),
         [&site, role](std::string_view part) { return is_for_operand(part, site, role); }});
  };
  for (const Site& site : sites) {
    for (const Role role : source.roles) {
      add(site, role);
      // Where every layer is named nothing else need be said: the first one stands for it.
      if (!site.name.empty() || sites.size() == 1 || binds(source.schedule, totals, members.back()))
        continue;
      members.pop_back();
      add(sites[1], role);
      says_common_ = false;
    }
  }
  std::vector<std::string> known = layer_names(sites);
  for (const Role role : kRoles) {
    const bool says = std::ranges::find(source.roles, role) != source.roles.end();
    if (says || role == Role::gradient) known.push_back(to_text(role));
  }
  return bind_for(source.option, source.schedule, totals, members, known);
}

void FormatSchedule::find_extremes() {
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    std::optional<Format> low, high;
    try_all(option_of(i), bounds_[i], none_is_fine, [&](std::int64_t t) {
      const Format format = bounds_[i].value(t).format();
      require_operand(format);
      high = high ? wider(*high, format) : format;
      low = low && cost_bits(*low) < cost_bits(format) ? *low : format;
    });
    lowest_.push_back(*low);
    highest_.push_back(*high);
  }
}

// Gradients of a float32 forward product are float32, unless a rule says otherwise.
Format FormatSchedule::format_at(const Place& place, std::size_t operand,
                                 const std::vector<Format>& formats) const {
  const auto is_fp32 = [&](Role role) {
    for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
      if (kProductOperands[o].role == role && kProductOperands[o].product == Product::forward)
        return formats[place.bounds[o]].is_fp32();
    }
    return false;
  };
  const bool plain = !gradients_apart_ && place.format_rules[operand] == kNoRule &&
                     kProductOperands[operand].role == Role::gradient && is_fp32(Role::weight) &&
                     is_fp32(Role::activation);
  return plain ? Format::fp32() : formats[place.bounds[operand]];
}

Numerics FormatSchedule::numerics_at(const Place& place, Numerics numerics,
                                     const std::vector<Format>& formats) const {
  const Numerics base = numerics;
  for (std::size_t o = 0; o < std::size(kProductOperands); ++o) {
    const auto [role, product] = kProductOperands[o];
    Encoding encoding = base.encoding(role);
    if (!formats.empty()) encoding.format = format_at(place, o, formats);
    const Format format = encoding.format;
    const bool scales = !format.is_fp32() && has_codec(format) && !has_blocks(format);
    if (const std::size_t rule = place.scale_rules[o]; rule != kNoRule && scales)
      encoding.format.scaling.kind = *rules_[rule].scale;
    if (const std::size_t rule = place.grid_rules[o]; rule != kNoRule)
      encoding.grid = *rules_[rule].grid;
    if (const std::size_t rule = place.rounding_rules[o]; rule != kNoRule) {
      encoding.rounding = rules_[rule].rounding->rounding;
      encoding.random_bits = rules_[rule].rounding->random_bits;
    }
    numerics.set_encoding(role, product, encoding);
  }
  const auto set = [&](Product product, Accumulator& accumulator) {
    const auto index = static_cast<std::size_t>(product);
    if (const std::size_t rule = place.accumulator_rules[index]; rule != kNoRule)
      accumulator = *rules_[rule].accumulator;
    if (const std::size_t rule = place.transform_rules[index]; rule != kNoRule)
      numerics.transforms[index] = *rules_[rule].transform;
  };
  set(Product::forward, numerics.forward);
  set(Product::grad_left, numerics.grad_left);
  set(Product::grad_right, numerics.grad_right);
  return numerics;
}

PrecisionPlan FormatSchedule::with_formats(PrecisionPlan plan, const SiteFormats& formats) const {
  plan.base.set_formats(formats);
  return filled(std::move(plan), {});
}

// Formats of bounds; none: those of the plan's base.
PrecisionPlan FormatSchedule::filled(PrecisionPlan plan, const std::vector<Format>& formats) const {
  plan.base = numerics_at(places_[0], plan.base, formats);
  std::vector<PrecisionPlan::Rule> rules;  // before those of --keep-fp32, which win
  for (std::size_t i = 1; i < places_.size(); ++i)
    rules.push_back({.pattern = places_[i].site.name,
                     .numerics = numerics_at(places_[i], plan.base, formats),
                     .exact = true});
  plan.rules.insert(plan.rules.begin(), rules.begin(), rules.end());
  return plan;
}

}  // namespace ebb::train
