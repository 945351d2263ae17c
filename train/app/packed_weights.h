#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quant/plan.h"
#include "train/loop.h"
#include "train/safetensors.h"

namespace ebb::cli {

/// The parameters of a network as a file: weights of matrix products in a format, all others and
/// the layers' states in float32.
struct PackedWeights {
  train::SafeTensors file{};
  struct Row {
    std::string name{};
    std::int64_t rows = 0, cols = 0, bytes = 0;  ///< bytes with scales
    double sqnr_db = 0;  ///< 10 log10 (sum x^2 / sum (x - decoded)^2); +inf where nothing was lost
  };
  std::vector<Row> rows{};  ///< of the weights
  std::int64_t others = 0;  ///< tensors in float32
};

/// What products take as weights is what the plan, which is that of evaluations in the format, has
/// encoded in an example of the task: layers that it leaves in float32 stay so. Each is encoded as
/// the forward product has it, to nearest, on the plan's grids.
PackedWeights pack_weights(const train::Task& task, const train::RunState& state,
                           PrecisionPlan plan, Format format);

/// A row of tabs for each weight, and the heading.
std::string to_table(const PackedWeights& packed);

}  // namespace ebb::cli
