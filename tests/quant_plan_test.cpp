#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "quant/plan.h"

using namespace ebb;

namespace {

const Format k3 = Format::integer(3), k4 = Format::integer(4), k8 = Format::integer(8);

}  // namespace

TEST_CASE("a site answers to its name, a whole dotted prefix of it, and its tags") {
  const Site site{"stage2.block1.shortcut", {"shortcut", "last"}};
  for (const std::string yes :
       {"stage2.block1.shortcut", "stage2", "stage2.block1", "shortcut", "last"})
    CHECK(site.matches(yes));
  for (const std::string no : {"stage", "stage2.", "stage2.block", "stage22", "block1", "first", "",
                               "stage2.block1.shortcut.x"}) {
    CAPTURE(no);
    CHECK_FALSE(site.matches(no));
  }
}

TEST_CASE(
    "forward is activation x weight, grad_left gradient x weight, grad_right activation x "
    "gradient") {
  const SiteFormats f{Format::integer(2), Format::integer(4),
                      Format::integer(6)};  // weight, activation, gradient
  CHECK(f.of(Role::weight) == Format::integer(2));
  CHECK(f.of(Role::activation) == Format::integer(4));
  CHECK(f.of(Role::gradient) == Format::integer(6));
  const auto bits = [&](Product product) {
    const auto [left, right] = f.of(product);
    return cost_bits(left) * cost_bits(right);
  };
  CHECK(bits(Product::forward) == 8);
  CHECK(bits(Product::grad_left) == 12);
  CHECK(bits(Product::grad_right) == 24);
  CHECK(bits(Product::aggregate) == 4);
  CHECK(bits(Product::aggregate_grad) == 6);
}

TEST_CASE("the last rule for a site decides, and the plan's base where there is none") {
  const Site first{"conv1", {"first"}}, block{"stage1.block2.conv1"}, last{"fc", {"last"}};
  PrecisionPlan plan = PrecisionPlan::uniform(k3, k8);
  CHECK(plan.at(first).formats() == SiteFormats{k3, k3, k8});
  plan.keep_fp32({"first", "stage1"});
  CHECK(plan.at(first).formats() == SiteFormats::fp32());
  CHECK(plan.at(block).formats() == SiteFormats::fp32());
  CHECK(plan.at(last).formats() == SiteFormats{k3, k3, k8});
  plan.rules.push_back({"stage1.block2", Numerics{}.set_formats({k8, k8, k8})});
  CHECK(plan.at(block).formats() == SiteFormats{k8, k8, k8});
  CHECK(plan.at(Site{"stage1.block1.conv1"}).formats() == SiteFormats::fp32());
}

TEST_CASE("a rule can be for a site's full name alone") {
  PrecisionPlan plan = PrecisionPlan::uniform(k3, k8);
  plan.rules.push_back(
      {.pattern = "lstm0", .numerics = Numerics{}.set_formats({k8, k3, k3}), .exact = true});
  CHECK(plan.at("lstm0").formats() == SiteFormats{k8, k3, k3});
  CHECK(plan.at({"lstm0.hidden", {"lstm0"}}).formats() ==
        SiteFormats{k3, k3, k8});  // not a pattern: the full name alone
  CHECK(plan.encoding("lstm0", Role::weight).format == k8);
  plan.keep_fp32({"lstm0"});
  CHECK(plan.at("lstm0").formats() == SiteFormats::fp32());
}

TEST_CASE(
    "weights round to nearest, activations and gradients as the plan says: nearest and stochastic "
    "by default") {
  PrecisionPlan plan = PrecisionPlan::uniform(k3, k8);
  const Site site{"fc"};
  CHECK(plan.encoding(site, Role::weight) ==
        Encoding{k3, GridStyle::affine, Rounding::nearest_even});
  CHECK(plan.encoding(site, Role::activation) ==
        Encoding{k3, GridStyle::affine, Rounding::nearest_even});
  CHECK(plan.encoding(site, Role::gradient) ==
        Encoding{k8, GridStyle::affine, Rounding::stochastic});
  plan.base.set_grid(GridStyle::symmetric);
  plan.base.activation.rounding = Rounding::stochastic;
  plan.base.gradient.rounding = Rounding::nearest_even;
  CHECK(plan.encoding(site, Role::weight) ==
        Encoding{k3, GridStyle::symmetric, Rounding::nearest_even});
  CHECK(plan.encoding(site, Role::activation) ==
        Encoding{k3, GridStyle::symmetric, Rounding::stochastic});
  CHECK(plan.encoding(site, Role::gradient) ==
        Encoding{k8, GridStyle::symmetric, Rounding::nearest_even});
  plan.base.gradient.grid = GridStyle::affine;
  CHECK(plan.encoding(site, Role::weight).grid == GridStyle::symmetric);
  CHECK(plan.encoding(site, Role::activation).grid == GridStyle::symmetric);
  CHECK(plan.encoding(site, Role::gradient).grid == GridStyle::affine);
  CHECK(PrecisionPlan::fp32().at(site).formats() == SiteFormats::fp32());
}

TEST_CASE("sums have an accumulator by product and site; those over neighbours that of their way") {
  PrecisionPlan plan = PrecisionPlan::uniform(k3, k8);
  plan.base.forward = Accumulator::saturate(16);
  plan.base.grad_left = Accumulator::wrap(20);
  plan.rules.push_back({"fc", Numerics{}.set_accumulator(Accumulator::wrap(12))});
  struct Case {
    Product product;
    Accumulator base;
  };
  const Case cases[] = {{Product::forward, Accumulator::saturate(16)},
                        {Product::grad_left, Accumulator::wrap(20)},
                        {Product::grad_right, Accumulator{}},
                        {Product::aggregate, Accumulator::saturate(16)},
                        {Product::aggregate_grad, Accumulator::wrap(20)}};
  for (const Case& c : cases) {
    CAPTURE(to_text(c.product));
    CHECK(plan.at("conv1").accumulator(c.product) == c.base);
    CHECK(plan.at("fc").accumulator(c.product) == Accumulator::wrap(12));
  }
}

TEST_CASE("an operand may be encoded otherwise in one of its two products") {
  using enum Product;
  const Encoding wide{.format = Format::integer(12), .rounding = Rounding::toward_zero};
  struct Case {
    Role role;
    Product changed, other;  // the products of the role
  };
  const Case cases[] = {
      {Role::weight, forward, grad_left},      {Role::weight, grad_left, forward},
      {Role::activation, forward, grad_right}, {Role::activation, grad_right, forward},
      {Role::gradient, grad_left, grad_right}, {Role::gradient, grad_right, grad_left}};
  const Numerics usual = Numerics{}.set_formats({k3, k4, k8});
  for (const Case& c : cases) {
    Numerics numerics = usual;
    numerics.set_encoding(c.role, c.changed, wide);
    CAPTURE(to_text(c.role));
    CAPTURE(to_text(c.changed));
    CHECK(numerics.encoding(c.role, c.changed) == wide);
    CHECK(numerics.encoding(c.role, c.other) == usual.encoding(c.role));
    for (const Role role : {Role::weight, Role::activation, Role::gradient})
      CHECK(numerics.is_split(role) == (role == c.role));
    CHECK(numerics.formats(c.other) == usual.formats(c.other));
    CHECK(numerics.formats(c.changed) != usual.formats(c.changed));
    numerics.set_encoding(c.role, c.other, wide);
    CHECK(!numerics.is_split(c.role));
    CHECK(numerics.encoding(c.role) == wide);
  }
  // Sums over neighbours go with the products of the same direction.
  Numerics numerics = usual;
  numerics.set_encoding(Role::activation, grad_right, wide);
  numerics.set_encoding(Role::gradient, grad_right, wide);
  CHECK(numerics.formats(aggregate).right == k4);
  CHECK(numerics.formats(aggregate_grad).right == k8);
  numerics.set_formats({k3, k3, k3}).set_grid(GridStyle::symmetric);
  CHECK(numerics.formats(grad_right) == SiteFormats::Pair{k3, k3});
  CHECK(numerics.encoding(Role::gradient, grad_right).grid == GridStyle::symmetric);
}
