#include "train/options/format_schedule.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "train/options/try_all.h"

namespace ebb::train {
namespace {

constexpr Role kRoles[] = {Role::weight, Role::activation, Role::gradient};

// Of equal width the later one.
Format wider(Format a, Format b) { return cost_bits(a) <= cost_bits(b) ? b : a; }

bool none_is_fine(const ValueRange&) { return false; }

}  // namespace

FormatSchedule::FormatSchedule(std::span<const FormatSource> sources, bool gradients_apart,
                               const Totals& totals, std::span<const Site> sites)
    : gradients_apart_(gradients_apart) {
  std::vector<Site> all{Site{}};  // whatever no part names
  all.insert(all.end(), sites.begin(), sites.end());
  std::vector<Place> places;
  for (const Site& site : all) places.push_back({.site = site.name});
  for (const FormatSource& source : sources) {
    const BoundForMany bound = bind(source, totals, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t role = 0; role < source.roles.size(); ++role)
        places[i].set(source.roles[role],
                      bounds_.size() + bound.of[i * source.roles.size() + role]);
    }
    bounds_.insert(bounds_.end(), bound.bounds.begin(), bound.bounds.end());
    options_.resize(bounds_.size(), source.option);
  }
  for (const Place& place : places) {
    if (places_.empty() || !place.is_like(places_[0])) places_.push_back(place);
  }
  find_extremes();
}

PrecisionPlan FormatSchedule::at(PrecisionPlan plan, std::int64_t t) const {
  std::vector<Format> formats;
  for (const Bound& bound : bounds_) formats.push_back(bound.value(t).format());
  return filled(std::move(plan), formats);
}

bool FormatSchedule::leaves_to_all(const PrecisionPlan& plan, const Site& site) const {
  return says_common_ && std::ranges::find(places_, site.name, &Place::site) == places_.end() &&
         std::ranges::none_of(plan.rules, [&](const auto& rule) { return rule.is_for(site); });
}

void FormatSchedule::check_grids(const PrecisionPlan& plan) const {
  for (const Place& place : places_) {
    for (const Role role : kRoles) {
      const std::size_t bound = place.of(role);
      const GridStyle grid = plan.base.encoding(role).grid;
      require<ConfigError>(grid == GridStyle::affine || lowest_[bound] != Format::integer(1),
                           "[command line] --", option_of(bound), ": ", role,
                           "s of 1 bit have no symmetric grid; use 2 bits and more, or --",
                           role == Role::gradient ? "gradient-grid" : "grid", " affine");
    }
  }
}

const Bound* FormatSchedule::common(std::string_view option) const {
  for (const Role role : {Role::activation, Role::weight, Role::gradient}) {
    if (const std::size_t bound = places_[0].of(role); options_[bound] == option)
      return &bounds_[bound];
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

SiteFormats FormatSchedule::formats_of(const Place& place,
                                       const std::vector<Format>& formats) const {
  const Format weight = formats[place.weight], activation = formats[place.activation];
  const bool plain = weight.is_fp32() && activation.is_fp32() && !gradients_apart_;
  return {weight, activation, plain ? Format::fp32() : formats[place.gradient]};
}

PrecisionPlan FormatSchedule::filled(PrecisionPlan plan, const std::vector<Format>& formats) const {
  plan.base.set_formats(formats_of(places_[0], formats));
  std::vector<PrecisionPlan::Rule> rules;  // before those of --keep-fp32, which win
  for (std::size_t i = 1; i < places_.size(); ++i) {
    rules.push_back({.pattern = places_[i].site, .numerics = plan.base, .exact = true});
    rules.back().numerics.set_formats(formats_of(places_[i], formats));
  }
  plan.rules.insert(plan.rules.begin(), rules.begin(), rules.end());
  return plan;
}

}  // namespace ebb::train
