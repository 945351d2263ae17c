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

namespace {

/// The second encoding of a role: a member of `numerics`, const or not.
template <class SomeNumerics>
auto& second_of(SomeNumerics& numerics, Role role) {
  if (role == Role::weight) return numerics.weight_grad_left;
  return role == Role::activation ? numerics.activation_grad_right : numerics.gradient_grad_right;
}

/// Whether a product is the second one that matrices of the role take part in.
bool is_second(Role role, Product product) {
  const bool left = product == Product::grad_left || product == Product::aggregate_grad;
  return role == Role::weight ? left : product == Product::grad_right;
}

}  // namespace

Numerics& Numerics::set_formats(const SiteFormats& formats) {
  weight.format = formats.weight;
  activation.format = formats.activation;
  gradient.format = formats.gradient;
  for (const Role role : {Role::weight, Role::activation, Role::gradient}) {
    if (auto& second = second_of(*this, role)) second->format = formats.of(role);
  }
  return *this;
}

Numerics& Numerics::set_grid(GridStyle grid) {
  weight.grid = activation.grid = gradient.grid = grid;
  for (const Role role : {Role::weight, Role::activation, Role::gradient}) {
    if (auto& second = second_of(*this, role)) second->grid = grid;
  }
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

const Encoding& Numerics::encoding(Role role, Product product) const {
  const std::optional<Encoding>& second = second_of(*this, role);
  return second && is_second(role, product) ? *second : encoding(role);
}

void Numerics::set_encoding(Role role, Product product, const Encoding& encoding) {
  Encoding& first = role == Role::weight       ? weight
                    : role == Role::activation ? activation
                                               : gradient;
  std::optional<Encoding>& second = second_of(*this, role);
  if (is_second(role, product)) {
    second = encoding;
  } else {
    if (!second) second = first;
    first = encoding;
  }
  if (*second == first) second.reset();
}

bool Numerics::is_split(Role role) const {
  const std::optional<Encoding>& second = second_of(*this, role);
  return second && *second != encoding(role);
}

SiteFormats::Pair Numerics::formats(Product product) const {
  SiteFormats here;
  here.weight = encoding(Role::weight, product).format;
  here.activation = encoding(Role::activation, product).format;
  here.gradient = encoding(Role::gradient, product).format;
  return here.of(product);
}

Transform Numerics::transform(Product product) const {
  const auto index = static_cast<std::size_t>(product);
  const SiteFormats::Pair pair = formats(product);
  const auto has_scale = [](Format format) {
    return !format.is_fp32() && (!has_codec(format) || format.scaling.kind != Scaling::Kind::none);
  };
  return has_scale(pair.left) && has_scale(pair.right) && index < transforms.size()
             ? transforms[index]
             : Transform::none;
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
