#include "quant/plan.h"

#include <algorithm>

namespace ebb {

bool Site::matches(std::string_view pattern) const {
  if (name == pattern || std::find(tags.begin(), tags.end(), pattern) != tags.end()) return true;
  return name.size() > pattern.size() && name.starts_with(pattern) && name[pattern.size()] == '.';
}

Format SiteFormats::of(Role role) const {
  if (role == Role::weight) return weight;
  return role == Role::activation ? activation : gradient;
}

SiteFormats::Pair SiteFormats::of(Product product) const {
  switch (product) {
    case Product::forward: return {activation, weight};
    case Product::grad_left: return {gradient, weight};
    case Product::grad_right: return {activation, gradient};
    case Product::aggregate: return {kAdjacency, activation};
    case Product::aggregate_grad: break;
  }
  return {kAdjacency, gradient};
}

PrecisionPlan PrecisionPlan::uniform(Format forward, Format gradient) {
  PrecisionPlan plan;
  plan.formats = {forward, forward, gradient};
  return plan;
}

PrecisionPlan& PrecisionPlan::keep_fp32(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) exceptions.push_back({pattern, SiteFormats::fp32()});
  return *this;
}

SiteFormats PrecisionPlan::at(const Site& site) const {
  for (auto exception = exceptions.rbegin(); exception != exceptions.rend(); ++exception) {
    if (site.matches(exception->pattern)) return exception->formats;
  }
  const auto own = sites.find(site.name);
  return own == sites.end() ? formats : own->second;
}

Encoding PrecisionPlan::encoding(const Site& site, Role role) const {
  const Rounding rounding = role == Role::gradient     ? gradient_rounding
                            : role == Role::activation ? activation_rounding
                                                       : Rounding::nearest_even;
  return {at(site).of(role), role == Role::gradient ? gradient_grid.value_or(grid) : grid,
          rounding};
}

}  // namespace ebb
