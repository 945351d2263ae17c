#pragma once

#include <string>
#include <vector>

#include "train/options/numerics.h"
#include "train/options/options.h"

namespace ebb {

/// What products have where no rule says otherwise.
struct CommonFormats {
  const char* forward = "bf16";
  const char* gradient = "bf16";
  Rounding gradient_rounding = Rounding::nearest_even;
};

/// A preset that says formats of products, and nothing of network, data and optimizer. Costs are
/// times relative to bf16 throughout.
/// docs/PROGRAMS.md has the table.
train::Preset format_recipe(std::string name, std::string summary,
                            std::vector<train::NumericsRule> rules, CommonFormats others = {});

/// bf16 and fp8-hybrid of networks of images, whose first and last layers stay in bf16.
/// Source: Micikevicius et al., "FP8 Formats for Deep Learning", arXiv 2209.05433.
std::vector<train::Preset> image_recipes();

/// Products of sites of this pattern, in this format or schedule of formats.
train::NumericsRule format_rule(std::string pattern, std::string format);

/// Rules that put sites of this pattern in e4m3, and their gradients in e5m2.
std::vector<train::NumericsRule> fp8_hybrid_rules(const std::string& pattern);

/// bf16 throughout.
train::Preset bf16_recipe();

}  // namespace ebb
