#include "models/recipes.h"

#include <utility>

namespace ebb {

using train::NumericsRule;
using train::Preset;

NumericsRule format_rule(std::string pattern, std::string format) {
  NumericsRule rule;
  rule.pattern = std::move(pattern);
  rule.format = std::move(format);
  return rule;
}

std::vector<NumericsRule> fp8_hybrid_rules(const std::string& pattern) {
  std::vector<NumericsRule> rules{format_rule(pattern, "e4m3"), format_rule(pattern, "e5m2")};
  rules.back().role = Role::gradient;
  return rules;
}

Preset format_recipe(std::string name, std::string summary, std::vector<NumericsRule> rules,
                     CommonFormats others) {
  NumericsRule gradients;
  gradients.pattern = "*";
  gradients.role = Role::gradient;
  gradients.rounding = RoundingMode{others.gradient_rounding};
  rules.push_back(std::move(gradients));
  return {.name = std::move(name),
          .summary = std::move(summary),
          .options = {{"bits", others.forward},
                      {"gradient-bits", others.gradient},
                      {"numerics", train::toml_of(rules)},
                      {"cost-model", "throughput(4=4,8=2,16=1)"},
                      {"cost-reference", "bf16/bf16/bf16"}},
          .warnings = {}};
}

Preset bf16_recipe() {
  return format_recipe("bf16", "every product in bf16, to compare recipes with", {});
}

std::vector<Preset> image_recipes() {
  std::vector<NumericsRule> rules;
  for (const char* tag : {"first", "last"}) rules.push_back(format_rule(tag, "bf16"));
  return {bf16_recipe(), format_recipe("fp8-hybrid",
                                       "products in fp8, e4m3 and of gradients e5m2; first and "
                                       "last layer in bf16",
                                       std::move(rules), {"e4m3", "e5m2"})};
}

}  // namespace ebb
