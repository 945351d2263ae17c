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

Numerics& Numerics::set_formats(const SiteFormats& formats) {
  weight.format = formats.weight;
  activation.format = formats.activation;
  gradient.format = formats.gradient;
  return *this;
}

Numerics& Numerics::set_grid(GridStyle grid) {
  weight.grid = activation.grid = gradient.grid = grid;
  return *this;
}

Numerics& Numerics::set_accumulator(Accumulator accumulator) {
  forward = grad_left = grad_right = accumulator;
  return *this;
}

SiteFormats Numerics::formats() const {
  return {weight.format, activation.format, gradient.format};
}

const Encoding& Numerics::encoding(Role role) const {
  if (role == Role::weight) return weight;
  return role == Role::activation ? activation : gradient;
}

Accumulator Numerics::accumulator(Product product) const {
  switch (product) {
    case Product::forward:
    case Product::aggregate: return forward;
    case Product::grad_right: return grad_right;
    case Product::grad_left:
    case Product::aggregate_grad: break;
  }
  return grad_left;
}

PrecisionPlan PrecisionPlan::uniform(Format forward, Format gradient) {
  return {.base = Numerics{}.set_formats({forward, forward, gradient})};
}

bool PrecisionPlan::Rule::is_for(const Site& site) const {
  return exact ? site.name == pattern : site.matches(pattern);
}

PrecisionPlan& PrecisionPlan::keep_fp32(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) rules.push_back({pattern, {}});
  return *this;
}

const Numerics& PrecisionPlan::at(const Site& site) const {
  const auto rule = std::find_if(rules.rbegin(), rules.rend(),
                                 [&](const Rule& each) { return each.is_for(site); });
  return rule == rules.rend() ? base : rule->numerics;
}

}  // namespace ebb
