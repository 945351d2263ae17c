#include "models/transformer/recipes.h"

#include <string>
#include <utility>

#include "models/recipes.h"

namespace ebb {
namespace {

using train::NumericsRule;
using train::Preset;

// The linear layers of a block; what else is multiplied, attention and head, stays in bf16.
constexpr const char* kFeedForward = "*.mlp.*";
constexpr const char* kAttention[] = {"*.attention.input", "*.attention.output"};

// Each operand has a scale for every 128 numbers along the sums that it takes part in.
constexpr const char* kFp4 = "e2m1(block=128)";
constexpr const char* kFp8 = "e4m3(block=128)";

Preset fp8_hybrid() {
  std::vector<NumericsRule> rules = fp8_hybrid_rules(kFeedForward);
  for (const char* pattern : kAttention) {
    for (NumericsRule& rule : fp8_hybrid_rules(pattern)) rules.push_back(std::move(rule));
  }
  return format_recipe(
      "fp8-hybrid", "linear layers of blocks in fp8, e4m3 and of gradients e5m2, all else in bf16",
      std::move(rules));
}

// For the first 92.5 % of the updates; then the format that the model is to be used in.
std::string until_the_end(const char* format) { return concat(format, " @92.5% ; bf16 @rest"); }

Preset fp4_paper() {
  std::vector<NumericsRule> rules;
  for (const Product product : {Product::forward, Product::grad_left, Product::grad_right}) {
    rules.push_back(
        format_rule(kFeedForward, until_the_end(product == Product::forward ? kFp4 : kFp8)));
    rules.back().product = product;
  }
  for (const char* pattern : kAttention) rules.push_back(format_rule(pattern, until_the_end(kFp8)));
  Preset preset =
      format_recipe("fp4-paper",
                    "feed-forward layers in fp4, their gradients and the linear layers of "
                    "attention in fp8, all else and the last 7.5 % of the updates in bf16",
                    std::move(rules));
  preset.warnings = {
      "the paper's blocks are taken to have 128 numbers, and its last stage to be the last 7.5 % "
      "of the updates",
      "fp8 is e4m3 here, of gradients too; the paper's format of gradients is not known for "
      "certain",
      "where the paper has float16, attention and head, this has bf16"};
  return preset;
}

// The report's blocks in bf16 are the last ones; of four, the last one.
constexpr const char* kLastBlock = "block3";

Preset nvfp4_report() {
  const std::string rest = " @82% ; bf16 @rest";
  std::vector<NumericsRule> rules;
  for (const char* pattern : {kFeedForward, kAttention[0], kAttention[1]}) {
    rules.push_back(format_rule(pattern, "nvfp4" + rest));
    rules.push_back(format_rule(pattern, "nvfp4(block=16x16)" + rest));
    rules.back().role = Role::weight;
    NumericsRule transformed;
    transformed.pattern = pattern;
    transformed.product = Product::grad_right;
    transformed.transform = Transform::hadamard16;
    rules.push_back(std::move(transformed));
  }
  rules.push_back(format_rule(kLastBlock, "bf16"));
  Preset preset = format_recipe(
      "nvfp4-report",
      "for --layers 4: linear layers of the first three blocks in NVFP4 with 16 x 16 blocks of "
      "weights and Hadamard transforms before weight gradients, all else and the last 18 % of the "
      "updates in bf16",
      std::move(rules), {.gradient_rounding = Rounding::stochastic});
  preset.warnings = {
      "the report keeps about 15 % of the linear layers in bf16, the last blocks; the rules name "
      "the last of four blocks, and other --layers need a file of rules",
      "the report draws the signs of its transforms; here they are fixed"};
  return preset;
}

}  // namespace

std::vector<Preset> transformer_recipes() {
  return {bf16_recipe(), fp8_hybrid(), fp4_paper(), nvfp4_report()};
}

}  // namespace ebb
