#pragma once

#include <vector>

#include "train/options/options.h"

namespace ebb {

/// Recipes of formats of Transformers, as in models/recipes.h: bf16, fp8-hybrid and fp4-paper.
/// Source: "Towards Efficient Pre-training: Exploring FP4 Precision in Large Language Models",
/// arXiv 2502.11458; of fp8-hybrid Micikevicius et al., arXiv 2209.05433.
std::vector<train::Preset> transformer_recipes();

}  // namespace ebb
