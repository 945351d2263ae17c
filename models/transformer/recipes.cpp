#include "models/transformer/recipes.h"

#include <string>
#include <utility>

#include "train/options/numerics.h"

namespace ebb {
namespace {

using train::NumericsRule;
using train::Preset;
using Rules = std::vector<NumericsRule>;

// The linear layers of a block; what else is multiplied, attention and head, stays in bf16.
constexpr const char* kFeedForward = "*.mlp.*";
constexpr const char* kAttention[] = {"*.attention.input", "*.attention.output"};

// Each operand has a scale for every 128 numbers along the sums that it takes part in.
constexpr const char* kFp4 = "e2m1(block=128)";
constexpr const char* kFp8 = "e4m3(block=128)";

NumericsRule rule_for(const char* pattern, std::string format) {
  NumericsRule rule;
  rule.pattern = pattern;
  rule.format = std::move(format);
  return rule;
}

// Everything in bf16, but for the rules; gradients round as all else does.
Preset recipe(const char* name, const char* summary, Rules rules) {
  NumericsRule to_nearest;
  to_nearest.pattern = "*";
  to_nearest.role = Role::gradient;
  to_nearest.rounding = RoundingMode{};
  rules.push_back(to_nearest);
  return {.name = name,
          .summary = summary,
          .options = {{"bits", "bf16"},
                      {"gradient-bits", "bf16"},
                      {"numerics", toml_of(rules)},
                      {"cost-model", "throughput(4=4,8=2,16=1)"},
                      {"cost-reference", "bf16/bf16/bf16"}},
          .warnings = {}};
}

Preset fp8_hybrid() {
  Rules rules;
  const auto add = [&](const char* pattern) {
    rules.push_back(rule_for(pattern, "e4m3"));
    rules.push_back(rule_for(pattern, "e5m2"));
    rules.back().role = Role::gradient;
  };
  add(kFeedForward);
  for (const char* pattern : kAttention) add(pattern);
  return recipe("fp8-hybrid",
                "linear layers of blocks in fp8, e4m3 and of gradients e5m2, all else in bf16",
                std::move(rules));
}

// For the first 92.5 % of the updates; then the format that the model is to be used in.
std::string until_the_end(const char* format) { return concat(format, " @92.5% ; bf16 @rest"); }

Preset fp4_paper() {
  Rules rules;
  for (const Product product : {Product::forward, Product::grad_left, Product::grad_right}) {
    rules.push_back(
        rule_for(kFeedForward, until_the_end(product == Product::forward ? kFp4 : kFp8)));
    rules.back().product = product;
  }
  for (const char* pattern : kAttention) rules.push_back(rule_for(pattern, until_the_end(kFp8)));
  Preset preset = recipe("fp4-paper",
                         "feed-forward layers in fp4, their gradients and the linear layers of "
                         "attention in fp8, all else and the last 7.5 % of the updates in bf16",
                         std::move(rules));
  preset.warnings = {
      "the paper's blocks are taken to have 128 numbers, and its last stage to be "
      "the last 7.5 % of the updates",
      "fp8 is e4m3 here, of gradients too; the paper's format of gradients is not "
      "known for certain",
      "where the paper has float16, attention and head, this has bf16"};
  return preset;
}

}  // namespace

std::vector<Preset> transformer_recipes() {
  return {recipe("bf16", "every product in bf16, to compare recipes with", {}), fp8_hybrid(),
          fp4_paper()};
}

}  // namespace ebb
